//! The run loop: enter the guest, handle its exit, again.

use super::crash;
use crate::bus::After;
use crate::ending::Ending;
use crate::memory::Ram;
use crate::shared::Shared;
use ampoule_vmm_api::Reason;
use kvm_ioctls::{VcpuExit, VcpuFd};
use rustix::io::Errno;

/// What comes after an exit.
enum Next {
    /// The guest goes on.
    Enter,
    /// The VM ends.
    End(Ending),
    /// The VM ends, and the registers tell why.
    Crash(Reason),
}

/// Runs the guest until it ends.
pub fn run(vcpu: &mut VcpuFd, shared: &Shared, ram: &Ram) -> Ending {
    loop {
        match handle(vcpu, shared) {
            Next::Enter => {}
            Next::End(ending) => return ending,
            Next::Crash(reason) => return crash::describe(vcpu, ram, reason),
        }
    }
}

fn handle(vcpu: &mut VcpuFd, shared: &Shared) -> Next {
    let exit = match vcpu.run() {
        Ok(exit) => exit,
        Err(error) => return handle_error(Errno::from_raw_os_error(error.errno())),
    };
    let after = match exit {
        VcpuExit::MmioRead(address, data) => shared.bus().mmio_read(address, data),
        VcpuExit::MmioWrite(address, data) => shared.bus().mmio_write(address, data),
        VcpuExit::IoIn(port, data) => shared.bus().port_read(port, data),
        VcpuExit::IoOut(port, data) => shared.bus().port_write(port, data),
        VcpuExit::Shutdown => return Next::Crash(Reason::TripleFault),
        VcpuExit::InternalError => return Next::Crash(Reason::EmulationFailure),
        VcpuExit::Intr | VcpuExit::IrqWindowOpen | VcpuExit::SetTpr => After::Continue,
        VcpuExit::FailEntry(code, _) => {
            return kvm_failed(&format!("the processor refuses to enter the guest ({code:#x})"));
        }
        other => return kvm_failed(&format!("unexpected exit from the guest ({other:?})")),
    };
    match after {
        After::Continue => {}
        After::Wake => shared.wake(),
        After::AwaitReset => shared.await_reset(),
        After::End(ending) => return Next::End(ending),
    }
    Next::Enter
}

fn kvm_failed(details: &str) -> Next {
    Next::End(Ending::with(Reason::KvmError, details))
}

fn handle_error(error: Errno) -> Next {
    match error {
        Errno::INTR | Errno::AGAIN => Next::Enter,
        // A page of an image or of RAM that cannot be had: a file that shrank, a host without memory.
        Errno::FAULT => Next::Crash(Reason::HostError),
        _ => kvm_failed(&format!("KVM cannot run the guest: {error}")),
    }
}
