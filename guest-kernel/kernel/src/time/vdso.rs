//! The vDSO: clock functions that programs call without entering the kernel (`vdso/vdso.c`). In each program: one page of
//! parameters, then one page with the library. Both pages are the same in all programs.

use super::clock;
use crate::mm::{AddressSpace, Area, Backing, MapRequest, PAGE, Placement, Protection};
use ampoule_kbase::{Frame, Once, Result};

static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vdso.so"));

struct Pages {
    parameters: Frame,
    code: Frame,
}

static PAGES: Once<Pages> = Once::new();

fn pages() -> Result<&'static Pages> {
    if PAGES.get().is_none() {
        let pages = Pages { parameters: Frame::zeroed()?, code: Frame::zeroed()? };
        pages.code.write(0, IMAGE);
        PAGES.set(pages);
        update();
    }
    PAGES.get().ok_or(ampoule_kbase::Errno::ENOMEM)
}

/// Brings the parameters up to date after a clock was set.
pub fn update() {
    if let Some(pages) = PAGES.get() {
        let (boot_tsc, multiplier, offset) = clock::parameters();
        for (i, word) in [boot_tsc, multiplier, offset as u64].into_iter().enumerate() {
            pages.parameters.write(i * 8, &word.to_le_bytes());
        }
    }
}

/// Maps it; the address of the library.
pub fn map(space: &mut AddressSpace) -> Result<u64> {
    let pages = pages()?;
    let start = space.map(request(2 * PAGE, Placement::Any(0), Protection::READ, "[vvar]"))?;
    let code = start + PAGE;
    space.map(request(PAGE, Placement::Fixed(code), Protection::READ | Protection::EXECUTE, "[vdso]"))?;
    for (page, frame) in [(start, &pages.parameters), (code, &pages.code)] {
        let area: Area = space.area(page).ok_or(ampoule_kbase::Errno::ENOMEM)?.clone();
        space.install_in(&area, page, frame.clone())?;
    }
    Ok(code)
}

fn request(length: u64, placement: Placement, protection: Protection, label: &'static str) -> MapRequest {
    // Not to be made writable: all programs share the pages.
    MapRequest {
        placement,
        length,
        protection,
        shared: true,
        may_write: false,
        backing: Backing::Anonymous,
        label,
        populate: false,
    }
}
