//! The guest's physical memory: RAM and images.

mod images;
mod ram;

pub use images::{Image, Images};
pub use ram::Ram;
