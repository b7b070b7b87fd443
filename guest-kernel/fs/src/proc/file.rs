//! An open file of `/proc`.

use super::node::ProcNode;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, File, Mutex, PAGE_SIZE, Result, Sink, Source, Stat};
use core::any::Any;

/// Its text is made when it is read from the start, and stays the same until that happens again: a reader with a small
/// buffer sees one state.
pub(super) struct ProcFile {
    node: ProcNode,
    place: Arc<dyn File>,
    text: Mutex<Option<Arc<Vec<u8>>>>,
}

impl ProcFile {
    pub fn new(node: ProcNode, place: Arc<dyn File>) -> Self {
        Self { node, place, text: Mutex::new(None) }
    }

    fn current_text(&self, offset: u64) -> Result<Arc<Vec<u8>>> {
        let known = self.text.lock().clone();
        match known {
            Some(text) if offset > 0 => Ok(text),
            _ => {
                let text = Arc::new(self.node.text()?);
                let old = self.text.lock().replace(text.clone());
                drop(old);
                Ok(text)
            }
        }
    }
}

impl File for ProcFile {
    fn read(&self, offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        let text = self.current_text(offset)?;
        let rest = usize::try_from(offset).ok().and_then(|at| text.get(at..)).unwrap_or_default();
        let part = rest.get(..sink.remaining()).unwrap_or(rest);
        sink.put(part)?;
        Ok(part.len())
    }

    fn write(&self, _offset: u64, source: &mut dyn Source) -> Result<usize> {
        let count = source.remaining();
        if count > PAGE_SIZE {
            return Err(Errno::EINVAL);
        }
        let mut bytes = vec![0; count];
        source.take(&mut bytes)?;
        self.node.set_text(&bytes)?;
        Ok(count)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn truncate(&self, _length: u64) -> Result<()> {
        Ok(())
    }

    fn stat(&self) -> Result<Stat> {
        self.place.stat()
    }

    fn proc_name(&self) -> Vec<u8> {
        self.place.proc_name()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
