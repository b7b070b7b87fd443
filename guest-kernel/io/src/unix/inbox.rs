//! What a socket has been sent: bytes, and where messages begin and end.
//!
//! A stream has messages too, as far as descriptors and credentials go: those belong to certain bytes.

use super::endpoint::Endpoint;
use super::passed::Passed;
use crate::bytes::ByteQueue;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{OpenFile, Result, Sink, Source};

/// pid, uid, gid of a sender.
pub type Credentials = (u32, u32, u32);

/// What a message costs its sender beside its bytes, as on Linux: the size of a small packet buffer.
const OVERHEAD: usize = 768;

/// A message, or a run of bytes in a stream that came the same way.
pub struct Segment {
    /// Bytes that are left of it.
    pub len: usize,
    /// Descriptors that come with its first byte.
    pub passed: Passed,
    /// Who sent it, where that was noted.
    pub credentials: Option<Credentials>,
    /// The sender: its name is shown to the receiver, and its send buffer occupied.
    pub sender: Arc<Endpoint>,
}

/// What a taker has freed of a sender's buffer.
pub type Refund = (Arc<Endpoint>, usize);

/// A queue of messages.
#[derive(Default)]
pub struct Inbox {
    bytes: ByteQueue,
    segments: VecDeque<Segment>,
}

impl Inbox {
    /// No message, not even an empty one.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Number of messages.
    pub fn messages(&self) -> usize {
        self.segments.len()
    }

    /// Bytes in all messages.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The first message.
    pub fn first(&self) -> Option<&Segment> {
        self.segments.front()
    }

    /// Appends up to `limit` bytes of `source`, which [`close_run`](Self::close_run) is then told of.
    pub fn fill(&mut self, source: &mut dyn Source, limit: usize) -> Result<usize> {
        self.bytes.fill(source, limit)
    }

    /// Says how the last bytes of a stream came, as many as `run` has; returns what they cost the sender.
    pub fn close_run(&mut self, run: Segment) -> usize {
        if let Some(last) = self.segments.back_mut()
            && run.passed.is_empty()
            && last.passed.is_empty()
            && last.credentials == run.credentials
        {
            last.len += run.len;
            return run.len;
        }
        let cost = run.len + OVERHEAD;
        self.segments.push_back(run);
        cost
    }

    /// Appends all of `source`, which [`close_message`](Self::close_message) is then told of, or nothing.
    pub fn fill_all(&mut self, source: &mut dyn Source) -> Result<usize> {
        self.bytes.fill_whole(source)
    }

    /// Makes the last bytes a message, as many as it says; returns what it costs the sender.
    pub fn close_message(&mut self, message: Segment) -> usize {
        let cost = message.len + OVERHEAD;
        self.segments.push_back(message);
        cost
    }

    /// How many bytes one read of a stream may return, out of `wanted`: it ends behind bytes that came with
    /// descriptors, and (where `by_sender`) before bytes that another one sent.
    pub fn stream_limit(&self, wanted: usize, by_sender: bool) -> usize {
        let mut limit = 0;
        let credentials = self.first().and_then(|first| first.credentials);
        for segment in &self.segments {
            if limit >= wanted || (by_sender && segment.credentials != credentials) {
                break;
            }
            limit += segment.len;
            if !segment.passed.is_empty() {
                break;
            }
        }
        limit.min(wanted)
    }

    /// Copies up to `limit` bytes, without taking them.
    pub fn peek(&self, sink: &mut dyn Sink, limit: usize) -> Result<usize> {
        self.bytes.peek(sink, limit)
    }

    /// The descriptors that come with the first `count` bytes of a stream, without taking them.
    pub fn peek_passed(&self, count: usize) -> Vec<Arc<OpenFile>> {
        let mut before = 0;
        for segment in &self.segments {
            if before >= count {
                break;
            }
            if !segment.passed.is_empty() {
                return segment.passed.files().to_vec();
            }
            before += segment.len;
        }
        Vec::new()
    }

    /// Takes `count` bytes off a stream, and gives the descriptors that came with them. A stream has one sender.
    pub fn consume(&mut self, mut count: usize) -> (Passed, Option<Refund>) {
        let sender = self.first().map(|first| first.sender.clone());
        self.bytes.discard(count);
        let (mut passed, mut refund) = (Passed::default(), 0);
        while count > 0
            && let Some(segment) = self.segments.front_mut()
        {
            if !segment.passed.is_empty() {
                passed = core::mem::take(&mut segment.passed);
            }
            let step = count.min(segment.len);
            segment.len -= step;
            count -= step;
            refund += step;
            if segment.len == 0 {
                refund += OVERHEAD;
                self.segments.pop_front();
            }
        }
        (passed, sender.map(|sender| (sender, refund)))
    }

    /// Takes the first message, with what is left of its bytes.
    pub fn take_message(&mut self) -> Option<(Segment, Refund)> {
        let segment = self.segments.pop_front()?;
        self.bytes.discard(segment.len);
        let refund = (segment.sender.clone(), segment.len + OVERHEAD);
        Some((segment, refund))
    }

    /// Takes everything.
    pub fn clear(&mut self, refunds: &mut Vec<Refund>) -> Vec<Passed> {
        self.bytes.clear();
        let segments = core::mem::take(&mut self.segments);
        let each = segments.into_iter().map(|segment| {
            refunds.push((segment.sender, segment.len + OVERHEAD));
            segment.passed
        });
        each.collect()
    }

    /// Takes all descriptors out of the messages, and leaves the bytes.
    pub fn take_passed(&mut self) -> Vec<Passed> {
        self.segments.iter_mut().map(|segment| core::mem::take(&mut segment.passed)).collect()
    }

    /// Shows the descriptors in all messages.
    pub fn each_passed(&self, each: &mut dyn FnMut(&Arc<OpenFile>)) {
        self.segments.iter().flat_map(|segment| segment.passed.files()).for_each(each);
    }
}
