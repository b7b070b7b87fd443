use super::*;
use alloc::vec;
use proptest::prelude::*;

const RET_A: (u16, u32) = (op::RET_A, 0);

fn plain(list: &[(u16, u32)]) -> Vec<Instruction> {
    list.iter().map(|&(code, k)| Instruction { code, jt: 0, jf: 0, k }).collect()
}

fn refused(list: &[(u16, u32)]) -> Error {
    Program::new(plain(list)).unwrap_err()
}

fn result(list: &[(u16, u32)]) -> u32 {
    Program::new(plain(list)).unwrap().run(&SeccompData::default())
}

#[test]
fn what_is_no_filter_is_refused() {
    assert_eq!(refused(&[]), Error::Length(0));
    assert_eq!(refused(&vec![(op::RET_K, 0); 4097]), Error::Length(4097));
    assert!(Program::new(plain(&vec![(op::RET_K, 0); 4096])).is_ok());
    assert_eq!(refused(&[(op::LD_IMM, 1)]), Error::NoReturn);
    // BPF_MOD, byte and half-word loads, indirect loads exist elsewhere.
    for code in [0x94, 0x9c, 0x30, 0x28, 0x40, 0xb1, 0xffff, 0x120, 0x8c] {
        assert_eq!(refused(&[(code, 4), (op::RET_K, 0)]), Error::Operation(0), "{code:#x}");
    }
    for offset in [1, 2, 62, 64, 68, u32::MAX - 3, (-4096i32) as u32] {
        assert_eq!(refused(&[(op::LD_ABS, offset), (op::RET_K, 0)]), Error::Load(0), "{offset}");
    }
    for (code, k) in [(op::DIV, 0), (op::LSH, 32), (op::RSH, u32::MAX), (op::ST, 16), (op::LDX_MEM, 16)] {
        assert_eq!(refused(&[(code, k), (op::RET_K, 0)]), Error::Operand(0));
    }
    for skip in [1, u32::MAX] {
        assert_eq!(refused(&[(op::JA, skip), (op::RET_K, 0)]), Error::Jump(0));
    }
    for (jt, jf) in [(1, 0), (0, 1), (255, 255)] {
        let jump = Instruction { code: op::JEQ, jt, jf, k: 0 };
        let program = vec![jump, Instruction { code: op::RET_K, jt: 0, jf: 0, k: 0 }];
        assert_eq!(Program::new(program).unwrap_err(), Error::Jump(0));
    }
}

#[test]
fn scratch_words_are_written_before_they_are_read() {
    assert_eq!(refused(&[(op::LD_MEM, 3), RET_A]), Error::Uninitialized(0));
    assert_eq!(result(&[(op::LD_IMM, 7), (op::ST, 3), (op::LD_IMM, 0), (op::LD_MEM, 3), RET_A]), 7);
    // Written on one of two ways only.
    let mut program = plain(&[(op::JEQ, 0), (op::ST, 0), (op::LD_MEM, 0), RET_A]);
    program[0].jf = 1;
    assert_eq!(Program::new(program.clone()).unwrap_err(), Error::Uninitialized(2));
    program[0].jf = 0;
    assert!(Program::new(program).is_ok());
}

#[test]
fn it_calculates_as_linux_does() {
    let of = |a, code, k| result(&[(op::LD_IMM, a), (code, k), RET_A]);
    let with_x = |a, code: u16, x| result(&[(op::LDX_IMM, x), (op::LD_IMM, a), (code | op::X, 9), RET_A]);
    assert_eq!(of(u32::MAX, op::ADD, 2), 1);
    assert_eq!(of(1, op::SUB, 2), u32::MAX);
    assert_eq!(with_x(1 << 31, op::MUL, 3), 1 << 31);
    assert_eq!(of(7, op::DIV, 2), 3);
    assert_eq!(with_x(7, op::DIV, 0), 0);
    assert_eq!(with_x(3, op::LSH, 33), 6);
    assert_eq!(with_x(8, op::RSH, 35), 1);
    assert_eq!(of(5, op::NEG, 0), 5u32.wrapping_neg());
    assert_eq!((of(6, op::OR, 9), of(6, op::AND, 12), of(6, op::XOR, 12)), (15, 4, 10));
    assert_eq!(result(&[(op::LD_LEN, 0), (op::TAX, 0), (op::LD_IMM, 1), (op::TXA, 0), RET_A]), 64);
}

#[test]
fn it_sees_the_call() {
    let data = SeccompData::new(39, 0xc000_003e, 0x1_0000_0002, [3, 4 << 32, 5, 6, 7, 8 << 32 | 9]);
    let words = [39, 0xc000_003e, 2, 1, 3, 0, 0, 4, 5, 0, 6, 0, 7, 0, 9, 8];
    for (word, offset) in words.into_iter().zip((0..).step_by(4)) {
        let program = Program::new(plain(&[(op::LD_ABS, offset), RET_A])).unwrap();
        assert_eq!(program.run(&data), word, "offset {offset}");
    }
}

#[test]
fn comparisons_go_their_ways() {
    for (code, a, k, holds) in [
        (op::JEQ, 5, 5, true),
        (op::JGT, 5, 5, false),
        (op::JGE, 5, 5, true),
        (op::JGT, u32::MAX, 1, true),
        (op::JSET, 6, 4, true),
        (op::JSET, 6, 8, false),
    ] {
        for x in [0, op::X] {
            let mut program = plain(&[
                (op::LDX_IMM, k),
                (op::LD_IMM, a),
                (code | x, if x == 0 { k } else { !k }),
                (op::RET_K, 0),
                (op::RET_K, 1),
            ]);
            program[2].jt = 1;
            let value = Program::new(program).unwrap().run(&SeccompData::default());
            assert_eq!(value == 1, holds, "{code:#x} {a} {k}");
        }
    }
}

proptest! {
    /// Whatever is admitted ends, and whatever is not is refused without a panic.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<[u8; 8]>(), 0..64)) {
        if let Ok(program) = Program::new(bytes.into_iter().map(Instruction::from_bytes).collect()) {
            program.run(&SeccompData::default());
        }
    }

    /// The same with operations that exist, so that many are admitted.
    #[test]
    fn any_operations(
        list in proptest::collection::vec((0usize..29, 0u8..4, 0u8..4, prop_oneof![0u32..80, any::<u32>()]), 1..40),
        words in any::<[u32; 16]>(),
    ) {
        const CODES: [u16; 29] = [
            op::LD_ABS, op::LD_LEN, op::LDX_LEN, op::LD_IMM, op::LDX_IMM, op::LD_MEM, op::LDX_MEM, op::ST, op::STX,
            op::TAX, op::TXA, op::RET_K, op::RET_A, op::JA, op::NEG, op::ADD, op::SUB | op::X, op::MUL, op::DIV | op::X,
            op::OR, op::AND | op::X, op::LSH | op::X, op::RSH, op::XOR, op::JEQ, op::JGT | op::X, op::JGE, op::JSET, op::X,
        ];
        let mut program: Vec<_> =
            list.into_iter().map(|(code, jt, jf, k)| Instruction { code: CODES[code], jt, jf, k }).collect();
        program.push(Instruction { code: op::RET_A, jt: 0, jf: 0, k: 0 });
        if let Ok(program) = Program::new(program) {
            program.run(&SeccompData(words));
        }
    }
}
