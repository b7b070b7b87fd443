//! Writes what the plan says: directories and long link targets, then the inodes, then the superblock.

use std::io;

use crate::directory;
use crate::layout::{Plan, Planned};
use crate::ondisk::{BLOCK, Layout, Superblock, dirent_type, uuid};
use crate::output::Output;
use crate::tree::{Kind, NodeId, Tree};

/// Writes all of an image but its file data, and gives it its final length.
pub(crate) fn metadata(tree: &Tree, plan: &Plan, output: &mut dyn Output) -> io::Result<()> {
    let mut inodes = vec![0; plan.meta_blocks as usize * BLOCK as usize];
    for planned in plan.all() {
        let content = content(tree, plan, planned);
        let content = content.as_deref().unwrap_or_default();
        let start = usize::try_from(planned.offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // The plan gave each inode this place, inside the metadata area, for itself alone.
        let place = &mut inodes[start..start + planned.form.length() + inline(planned, content).len()];
        planned.inode.write(planned.form, place);
        match planned.inode.layout {
            Layout::Inline => place[planned.form.length()..].copy_from_slice(content),
            Layout::Plain if content.is_empty() => {}
            Layout::Plain => write_blocks(output, content, planned.inode.block_or_device)?,
        }
    }
    output.write_at(&inodes, u64::from(plan.meta_block) * BLOCK)?;
    output.set_len(plan.bytes())?;
    output.write_at(&superblock(plan)?.to_block(), 0)
}

fn inline<'c>(planned: &Planned, content: &'c [u8]) -> &'c [u8] {
    match planned.inode.layout {
        Layout::Inline => content,
        Layout::Plain => &[],
    }
}

/// The data of a directory or link; a file's is in the image already.
fn content(tree: &Tree, plan: &Plan, planned: &Planned) -> Option<Vec<u8>> {
    let resolve = |id: NodeId| {
        plan.place(id).map_or((0, 0), |planned| (planned.nid(), dirent_type(planned.inode.mode)))
    };
    match &tree.node(planned.node).kind {
        Kind::Directory(names) => {
            let entries = directory::entries(names, planned.node, planned.parent);
            Some(directory::data(&entries, &resolve))
        }
        Kind::Symlink(target) => Some(target.to_vec()),
        Kind::File(_) | Kind::Special(_) => None,
    }
}

fn write_blocks(output: &mut dyn Output, content: &[u8], block: u32) -> io::Result<()> {
    let mut padded = content.to_vec();
    padded.resize(content.len().next_multiple_of(BLOCK as usize), 0);
    output.write_at(&padded, u64::from(block) * BLOCK)
}

fn superblock(plan: &Plan) -> io::Result<Superblock> {
    let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
    let root = plan.place(Tree::ROOT).ok_or_else(too_large)?;
    Ok(Superblock {
        root: u16::try_from(root.nid()).map_err(|_| too_large())?,
        inodes: plan.inodes(),
        time: plan.time,
        blocks: u32::try_from(plan.bytes() / BLOCK).map_err(|_| too_large())?,
        meta_block: plan.meta_block,
        uuid: uuid(&plan.digest()),
        kernel: plan.kernel,
    })
}
