//! `memfd_create(2)`: files without a name, in a volume that is mounted nowhere.

use super::node::Place;
use super::{Body, Limits, Node, Volume};
use crate::vfs::{Kind, Location, Mount, MountFlags, NewNode, VfsFile};
use alloc::sync::Arc;
use ampoule_kbase::{Errno, Once, OpenFile, Result, platform};
use linux_raw_sys::general::{F_SEAL_SEAL, O_LARGEFILE, O_RDWR};

struct Hidden {
    volume: Arc<Volume>,
    mount: Arc<Mount>,
}

fn hidden() -> Result<&'static Hidden> {
    static HIDDEN: Once<Hidden> = Once::new();
    if HIDDEN.get().is_none() {
        let volume = Volume::tmpfs(Limits::half_of_memory());
        let mount = Mount::new_root(volume.clone(), b"", MountFlags::empty());
        HIDDEN.set(Hidden { volume, mount });
    }
    HIDDEN.get().ok_or(Errno::ENOMEM)
}

/// Makes a file in memory. `name` is at most 249 bytes and only for show; `sealable` allows to add seals.
pub fn memfd(name: &[u8], sealable: bool) -> Result<Arc<OpenFile>> {
    if name.len() > 249 {
        return Err(Errno::EINVAL);
    }
    let hidden = hidden()?;
    let caller = platform().caller();
    let node = NewNode { kind: Kind::Regular, permissions: 0o777, uid: caller.fsuid, gid: caller.fsgid };
    let node = Node::new(&hidden.volume.shared, &node)?;
    {
        let mut state = node.state.lock();
        state.nlink = 0;
        state.place = Place::Removed(hidden.volume.root_node().clone(), [b"memfd:", name].concat().into());
        if let Body::File(contents) = &mut state.body {
            contents.seals = Some(if sealable { 0 } else { F_SEAL_SEAL });
        }
    }
    let location = Location { mount: hidden.mount.clone(), inode: node };
    Ok(OpenFile::new(VfsFile::new(location, O_RDWR)?, O_RDWR | O_LARGEFILE))
}
