//! `pipe(7)`: pipes and FIFOs.
//!
//! [`pipe`] makes an unnamed one; a [`Fifo`] belongs to an inode and is opened any number of times. Both are [`PipeEnd`]s on
//! a ring of pages with Linux's own rules of capacity: a write of up to `PIPE_BUF` bytes joins the last page or takes a
//! new one, so it is never split.

mod end;
mod fifo;
mod ring;
#[cfg(test)]
mod tests;

pub use end::{PipeEnd, pipe};
pub use fifo::{Fifo, Opening};
