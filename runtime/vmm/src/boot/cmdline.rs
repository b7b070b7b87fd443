//! The kernel's command line.

use crate::clock::realtime_ns;
use crate::error::Error;
use crate::layout::{CMDLINE, CMDLINE_SIZE, FIRST_IRQ, MMIO_BASE, MMIO_STRIDE, PAGE, PV_PAGE};
use crate::memory::Ram;
use ampoule_vmm_api::GUEST_CID;
use std::fmt::Write;
use vm_memory::{Bytes, GuestAddress};

/// The clock's place is left open until the kernel is about to start: a u64 in decimal.
const CLOCK_DIGITS: usize = 20;
const CLOCK_WORD: &str = "ampoule.boot_ns=";

/// A command line, all but its clock known.
#[derive(Debug, PartialEq, Eq)]
pub struct Cmdline {
    text: String,
}

impl Cmdline {
    /// The words of the VMM, then the caller's.
    pub fn new(devices: usize, words: &str) -> Self {
        let mut text = String::with_capacity(CMDLINE_SIZE);
        for index in 0..devices as u64 {
            let address = MMIO_BASE + index * MMIO_STRIDE;
            let irq = u64::from(FIRST_IRQ) + index;
            push(&mut text, format_args!("virtio_mmio.device={}K@{address:#x}:{irq} ", PAGE / 1024));
        }
        push(&mut text, format_args!("ampoule.pv={PV_PAGE:#x} ampoule.cid={GUEST_CID}"));
        if !words.is_empty() {
            push(&mut text, format_args!(" {words}"));
        }
        Self { text }
    }

    /// Its length in bytes once it has the clocks: at most this.
    pub fn max_len(&self) -> usize {
        self.text.len() + CLOCK_WORD.len() + CLOCK_DIGITS + " tsc_early_khz=4294967295 ".len()
    }

    /// Writes it into guest memory. The words with the clocks follow, in [`Cmdline::write_clocks`].
    pub fn write(&self, ram: &Ram) -> Result<(), Error> {
        // The clocks come first, in front of a string that never changes.
        let prefix = self.max_len() - self.text.len();
        ram.memory().write_slice(&vec![b' '; prefix], GuestAddress(CMDLINE))?;
        ram.memory().write_slice(self.text.as_bytes(), GuestAddress(CMDLINE + prefix as u64))?;
        Ok(())
    }

    /// Fills in the frequency of the TSC in kHz and the present time. To be called right before the guest starts.
    pub fn write_clocks(ram: &Ram, tsc_khz: u32) -> Result<(), Error> {
        let words = format!("{CLOCK_WORD}{} tsc_early_khz={tsc_khz}", realtime_ns());
        ram.memory().write_slice(words.as_bytes(), GuestAddress(CMDLINE))?;
        Ok(())
    }
}

fn push(text: &mut String, words: std::fmt::Arguments<'_>) {
    text.write_fmt(words).unwrap_or_else(|error| unreachable!("a String takes everything: {error}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use ampoule_vmm_api::{MAX_CMDLINE_LEN, MAX_IMAGES};

    fn read(ram: &Ram) -> String {
        let mut bytes = [0; CMDLINE_SIZE];
        ram.memory().read_slice(&mut bytes, GuestAddress(CMDLINE)).unwrap();
        let end = bytes.iter().position(|&byte| byte == 0).unwrap();
        String::from_utf8(bytes[..end].to_vec()).unwrap()
    }

    #[test]
    fn the_words_are_those_of_the_contract() {
        let ram = Ram::new(2 << 20).unwrap();
        let cmdline = Cmdline::new(2, "quiet init=/bin/sh");
        cmdline.write(&ram).unwrap();
        let before = realtime_ns();
        Cmdline::write_clocks(&ram, 2_400_000).unwrap();
        let text = read(&ram);
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let boot_ns: u64 = words[0].strip_prefix("ampoule.boot_ns=").unwrap().parse().unwrap();
        assert!((before..=realtime_ns()).contains(&boot_ns));
        assert_eq!(
            words[1..].join("|"),
            "tsc_early_khz=2400000|virtio_mmio.device=4K@0xd0000000:5|\
             virtio_mmio.device=4K@0xd0001000:6|ampoule.pv=0xd0100000|ampoule.cid=3|quiet|init=/bin/sh"
        );
        assert!(text.len() <= cmdline.max_len());
    }

    #[test]
    fn the_longest_one_fits() {
        let cmdline = Cmdline::new(1 + MAX_IMAGES, &"x".repeat(MAX_CMDLINE_LEN));
        assert!(cmdline.max_len() < CMDLINE_SIZE, "{}", cmdline.max_len());
    }
}
