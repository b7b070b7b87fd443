//! A virtqueue in memory that the driver writes as it likes.
#![no_main]

use ampoule_devices::mmio::QueueLayout;
use ampoule_devices::queue::{MAX_PARTS, Virtqueue};
use libfuzzer_sys::fuzz_target;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const LEN: usize = 0x4000;
/// Where a driver's queue usually is here; the input may say other addresses.
const USUAL: QueueLayout = QueueLayout { size: 16, descriptors: 0x0, available: 0x100, used: 0x200 };

fuzz_target!(|data: (Option<(u16, u64, u64, u64)>, u16, &[u8], Vec<(u16, u16)>)| {
    let (layout, index, content, changes) = data;
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), LEN)]).expect("some memory");
    let content = &content[..content.len().min(LEN)];
    memory.write_slice(content, GuestAddress(0)).expect("it fits");
    let layout = layout.map_or(USUAL, |(size, descriptors, available, used)| QueueLayout {
        size,
        descriptors,
        available,
        used,
    });
    let Ok(mut queue) = Virtqueue::new(&layout, &memory) else { return };
    // Few buffers are on offer more often than nonsense is.
    let _ = memory.write_obj(index % 32, GuestAddress(layout.available.wrapping_add(2)));
    for (at, value) in changes.into_iter().take(64) {
        let Ok(chain) = queue.pop() else { return };
        let Some(chain) = chain else { return };
        assert!(chain.readable.len() + chain.writable.len() <= MAX_PARTS);
        let mut buffer = [0; 64];
        if chain.read(&memory, &mut buffer) {
            assert!(chain.readable.iter().map(|part| u64::from(part.len)).sum::<u64>() >= 64);
        }
        chain.write(&memory, &buffer);
        if queue.push(chain.head, 64).is_err() || queue.take_announcement().is_err() {
            return;
        }
        let _ = memory.write_obj(value, GuestAddress(u64::from(at) % (LEN as u64)));
    }
});
