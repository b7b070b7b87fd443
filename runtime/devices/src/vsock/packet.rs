//! The header of a packet (Virtio 1.2 section 5.10.6).

/// Bytes of a header.
pub const HEADER_LEN: usize = 44;
/// Flag of `Shutdown`: its sender receives no more.
pub const SHUTDOWN_RECEIVE: u32 = 1;
/// Flag of `Shutdown`: its sender sends no more.
pub const SHUTDOWN_SEND: u32 = 2;
/// `VIRTIO_VSOCK_TYPE_STREAM`.
pub const TYPE_STREAM: u16 = 1;

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Op {
    /// Connect.
    Request = 1,
    /// Connected.
    Response = 2,
    /// Not connected, or not any more.
    Reset = 3,
    /// The sender's end of one or both directions.
    Shutdown = 4,
    /// Data.
    ReadWrite = 5,
    /// How much the sender has room for.
    CreditUpdate = 6,
    /// Asks for a `CreditUpdate`.
    CreditRequest = 7,
}

impl Op {
    /// The operation of this number.
    pub fn from_number(number: u16) -> Option<Self> {
        [
            Self::Request,
            Self::Response,
            Self::Reset,
            Self::Shutdown,
            Self::ReadWrite,
            Self::CreditUpdate,
            Self::CreditRequest,
        ]
        .into_iter()
        .find(|op| *op as u16 == number)
    }
}

/// A header, as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Context identifier of the sender.
    pub src_cid: u64,
    /// Context identifier of the receiver.
    pub dst_cid: u64,
    /// Port of the sender.
    pub src_port: u32,
    /// Port of the receiver.
    pub dst_port: u32,
    /// Bytes of payload.
    pub len: u32,
    /// Type of socket.
    pub socket_type: u16,
    /// See [`Op`].
    pub op: u16,
    /// Of `Shutdown`.
    pub flags: u32,
    /// Size of the sender's receive buffer.
    pub buf_alloc: u32,
    /// How many bytes have left that buffer, since the beginning.
    pub fwd_cnt: u32,
}

impl Header {
    /// From memory.
    pub fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Self {
        let mut rest = bytes.as_slice();
        Self {
            src_cid: u64::from_le_bytes(take(&mut rest)),
            dst_cid: u64::from_le_bytes(take(&mut rest)),
            src_port: u32::from_le_bytes(take(&mut rest)),
            dst_port: u32::from_le_bytes(take(&mut rest)),
            len: u32::from_le_bytes(take(&mut rest)),
            socket_type: u16::from_le_bytes(take(&mut rest)),
            op: u16::from_le_bytes(take(&mut rest)),
            flags: u32::from_le_bytes(take(&mut rest)),
            buf_alloc: u32::from_le_bytes(take(&mut rest)),
            fwd_cnt: u32::from_le_bytes(take(&mut rest)),
        }
    }

    /// To memory.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut rest = bytes.as_mut_slice();
        put(&mut rest, &self.src_cid.to_le_bytes());
        put(&mut rest, &self.dst_cid.to_le_bytes());
        put(&mut rest, &self.src_port.to_le_bytes());
        put(&mut rest, &self.dst_port.to_le_bytes());
        put(&mut rest, &self.len.to_le_bytes());
        put(&mut rest, &self.socket_type.to_le_bytes());
        put(&mut rest, &self.op.to_le_bytes());
        put(&mut rest, &self.flags.to_le_bytes());
        put(&mut rest, &self.buf_alloc.to_le_bytes());
        put(&mut rest, &self.fwd_cnt.to_le_bytes());
        bytes
    }
}

/// Takes the next field. There are as many bytes as fields.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk() {
        Some((field, others)) => {
            *rest = others;
            *field
        }
        None => [0; N],
    }
}

fn put(rest: &mut &mut [u8], field: &[u8]) {
    let (here, others) = std::mem::take(rest).split_at_mut(field.len());
    here.copy_from_slice(field);
    *rest = others;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_the_specification() {
        let header = Header {
            src_cid: 3,
            dst_cid: 2,
            src_port: 0x11,
            dst_port: 0x22,
            len: 0x33,
            socket_type: TYPE_STREAM,
            op: Op::ReadWrite as u16,
            flags: 0x44,
            buf_alloc: 0x55,
            fwd_cnt: 0x66,
        };
        let bytes = header.to_bytes();
        let at = |offset: usize| bytes[offset];
        assert_eq!(
            [at(0), at(8), at(16), at(20), at(24), at(28), at(30), at(32), at(36), at(40)],
            [3, 2, 0x11, 0x22, 0x33, 1, 5, 0x44, 0x55, 0x66]
        );
        assert_eq!(Header::from_bytes(&bytes), header);
    }

    #[test]
    fn operations_have_their_numbers() {
        for number in 0..10 {
            let op = Op::from_number(number);
            assert_eq!(op.map(|op| op as u16), Some(number).filter(|number| (1..=7).contains(number)));
        }
    }
}
