//! The guest's physical memory: RAM and images.

mod images;
mod ram;

pub use images::Images;
pub use ram::Ram;
