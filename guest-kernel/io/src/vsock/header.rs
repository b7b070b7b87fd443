//! The header of every packet (`struct virtio_vsock_hdr`, Virtio 1.2 section 5.10.6).

/// Bytes of a header.
pub const HEADER_SIZE: usize = 44;
/// The only packet type that this driver speaks: `VIRTIO_VSOCK_TYPE_STREAM`.
pub const TYPE_STREAM: u16 = 1;

/// `VIRTIO_VSOCK_OP_*`.
pub mod op {
    /// Asks for a connection.
    pub const REQUEST: u16 = 1;
    /// Accepts one.
    pub const RESPONSE: u16 = 2;
    /// Refuses or ends one.
    pub const RST: u16 = 3;
    /// Announces which directions are over: see [`super::shut`].
    pub const SHUTDOWN: u16 = 4;
    /// Carries data.
    pub const RW: u16 = 5;
    /// Tells how much room there is.
    pub const CREDIT_UPDATE: u16 = 6;
    /// Asks how much room there is.
    pub const CREDIT_REQUEST: u16 = 7;
}

/// Flags of a `SHUTDOWN` packet, which are also `shutdown(2)`'s argument plus one.
pub mod shut {
    /// The sender receives no more.
    pub const RECEIVE: u32 = 1;
    /// The sender sends no more.
    pub const SEND: u32 = 2;
    /// Both.
    pub const BOTH: u32 = 3;
}

/// A packet's header, without what is the same in all of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Context id of the sender.
    pub src_cid: u64,
    /// Context id of the receiver.
    pub dst_cid: u64,
    /// Port of the sender.
    pub src_port: u32,
    /// Port of the receiver.
    pub dst_port: u32,
    /// Bytes of payload.
    pub len: u32,
    /// Kind of socket.
    pub kind: u16,
    /// What it says: [`op`].
    pub op: u16,
    /// More about it.
    pub flags: u32,
    /// The sender's receive buffer, in bytes.
    pub buf_alloc: u32,
    /// Bytes that the sender's reader has taken so far (modulo 2^32).
    pub fwd_cnt: u32,
}

impl Header {
    /// As it travels: little endian.
    pub fn to_bytes(self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        let mut rest = &mut bytes[..];
        let mut put = |field: &[u8]| {
            let (head, tail) = core::mem::take(&mut rest).split_at_mut(field.len());
            head.copy_from_slice(field);
            rest = tail;
        };
        put(&self.src_cid.to_le_bytes());
        put(&self.dst_cid.to_le_bytes());
        put(&self.src_port.to_le_bytes());
        put(&self.dst_port.to_le_bytes());
        put(&self.len.to_le_bytes());
        put(&self.kind.to_le_bytes());
        put(&self.op.to_le_bytes());
        put(&self.flags.to_le_bytes());
        put(&self.buf_alloc.to_le_bytes());
        put(&self.fwd_cnt.to_le_bytes());
        bytes
    }

    /// From what arrived.
    pub fn from_bytes(bytes: &[u8; HEADER_SIZE]) -> Self {
        let mut rest = &bytes[..];
        let mut u64le = || u64::from_le_bytes(take(&mut rest));
        let (src_cid, dst_cid) = (u64le(), u64le());
        let mut u32le = || u32::from_le_bytes(take(&mut rest));
        let (src_port, dst_port, len) = (u32le(), u32le(), u32le());
        let mut u16le = || u16::from_le_bytes(take(&mut rest));
        let (kind, op) = (u16le(), u16le());
        let mut u32le = || u32::from_le_bytes(take(&mut rest));
        let (flags, buf_alloc, fwd_cnt) = (u32le(), u32le(), u32le());
        Self { src_cid, dst_cid, src_port, dst_port, len, kind, op, flags, buf_alloc, fwd_cnt }
    }
}

/// The next `N` bytes; zeros once they have run out, which the fixed size above rules out.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let Some((head, tail)) = rest.split_first_chunk::<N>() else { return [0; N] };
    *rest = tail;
    *head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_where_the_specification_has_them() {
        let header = Header {
            src_cid: 3,
            dst_cid: 2,
            src_port: 0x0102_0304,
            dst_port: 1024,
            len: 5,
            kind: TYPE_STREAM,
            op: op::RW,
            flags: 6,
            buf_alloc: 7,
            fwd_cnt: 8,
        };
        let bytes = header.to_bytes();
        assert_eq!(&bytes[16..20], [4, 3, 2, 1]);
        assert_eq!((bytes[0], bytes[8], bytes[24], bytes[28], bytes[30]), (3, 2, 5, 1, 5));
        assert_eq!((bytes[32], bytes[36], bytes[40]), (6, 7, 8));
        assert_eq!(Header::from_bytes(&bytes), header);
    }
}
