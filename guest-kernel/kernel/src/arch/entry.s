# Ways into the kernel and out of it. See `arch::trap` for the frame, and the module's head for the two privilege modes.
#
#   top of the kernel stack:  ss rsp rflags cs rip | error cr2 vector | rdi ... r15 | pad | xmm0-15   <- TrapFrame
#
# The kernel's Rust code is compiled for plain SSE2, so only the low halves of the vector registers can change on a
# system call: those are saved here. The rest of the extended state stays in the registers until a context switch.

    .set FRAME_PAD, 264
    .set FRAME_SIZE, 8 * 8 + 15 * 8 + FRAME_PAD

    .macro save_registers
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push %rax
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    sub $FRAME_PAD, %rsp
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movaps %xmm\n, 16 * \n(%rsp)
    .endr
    cld
    .endm

    .section .nucleus, "ax"

# ---- system calls, in either ring: RCX = RIP, R11 = RFLAGS, RSP is still the program's
    .balign 64
    .globl syscall_from_user
syscall_from_user:
    mov %rsp, syscall_rsp(%rip)
    mov kernel_stack_top(%rip), %rsp
    pushq $0x2b
    pushq syscall_rsp(%rip)
    push %r11
    pushq $0x33
    push %rcx
    pushq $-1                           # no exception has this error code: TrapFrame::is_syscall
    pushq $0
    push %rax
    save_registers
    mov %rsp, %rdi
    call syscall_dispatch
    # falls through

# ---- the way out. An interrupt that hits a deprivileged kernel inside the window restarts it at exit_restart, so that
#      no interrupt is left pending when the program goes on.
    .globl exit_to_user
exit_to_user:
    .globl exit_window_start
exit_window_start:
    cmpq $0, pending_interrupts(%rip)
    jne exit_work
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movaps 16 * \n(%rsp), %xmm\n
    .endr
    add $FRAME_PAD, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rax
    pop %rcx
    pop %rdx
    pop %rsi
    pop %rdi
    add $24, %rsp
    iretq
    .globl exit_window_end
exit_window_end:
exit_work:
    mov %rsp, %rdi
    call exit_work_dispatch
    jmp exit_to_user
exit_restart:
    mov kernel_stack_top(%rip), %rsp
    sub $FRAME_SIZE, %rsp
    jmp exit_to_user

trap_common:
    save_registers
    mov %rsp, %rdi
    call trap_dispatch
    jmp exit_to_user

# ---- a new thread's first steps: its frame lies at the top of its stack
    .globl thread_start
thread_start:
    call thread_started
    jmp exit_restart

# ---- parts of the stubs
# completes the processor's frame: an error code where it gave none, and the address of a page fault or 0
    .macro push_error_and_address vector, has_error
    .ifeq \has_error
    pushq $0
    .endif
    .ifeq \vector - 14
    push %rax
    mov %cr2, %rax
    xchg %rax, (%rsp)
    .else
    pushq $0
    .endif
    .endm

# from ring 0 to ring 3, on the stack that RSP points to; there the word at its top is to be replaced by the vector
    .macro go_on_in_ring3 target
    pushq $0x2b
    push %rsp
    pushq $0x202
    pushq $0x33
    pushq $\target
    iretq
    .endm

# moves to the thread's kernel stack with a copy of the processor's frame, which lies `offset` bytes from RAX
    .macro copy_frame_to_kernel_stack offset
    mov kernel_stack_top(%rip), %rsp
    pushq \offset + 32(%rax)
    pushq \offset + 24(%rax)
    pushq \offset + 16(%rax)
    pushq \offset + 8(%rax)
    pushq \offset(%rax)
    pushq $0
    pushq $0
    .endm

# ---- exceptions
    .macro exception_stubs vector, has_error
# ring 0 mode
exception_ring0_\vector:
    push_error_and_address \vector, \has_error
    pushq $\vector
    jmp trap_common
# deprivileged mode: the processor has pushed its frame on the thread's kernel stack, and ring 3 goes on there
exception_nucleus_\vector:
    push_error_and_address \vector, \has_error
    go_on_in_ring3 exception_ring3_\vector
exception_ring3_\vector:
    movq $\vector, (%rsp)
    jmp trap_common
    .endm

    .irp v, 0, 1, 2, 3, 4, 5, 7, 9, 15, 16, 18, 19, 20, 22, 23, 24, 25, 26, 27, 28, 31
    exception_stubs \v, 0
    .endr
    .irp v, 8, 10, 11, 12, 13, 14, 17, 21, 29, 30
    exception_stubs \v, 1
    .endr

# ---- #UD: a program's illegal instruction, or the deprivileged kernel asking for a service (number in R8)
exception_ring0_6:
    pushq $0
    pushq $0
    pushq $6
    jmp trap_common
exception_nucleus_6:
    cmpl $-1, 4(%rsp)
    jne 9f
    addq $2, (%rsp)
    cmp $1, %r8d
    jne 1f
    mov %rdi, %cr3
    iretq
1:  cmp $2, %r8d
    jne 2f
    cmpq $0, pending_interrupts(%rip)
    jne 1f
    sti
    hlt
1:  iretq
2:  cmp $3, %r8d
    jne 3f
    wrmsr
    iretq
3:  cmp $4, %r8d
    jne 4f
    invlpg (%rdi)
    iretq
4:  orq $0x200, 16(%rsp)                # 5: interrupts on
    iretq
9:  mov %rax, nucleus_rax(%rip)
    mov %rsp, %rax
    copy_frame_to_kernel_stack 0
    mov nucleus_rax(%rip), %rax
    go_on_in_ring3 exception_ring3_6
exception_ring3_6:
    movq $6, (%rsp)
    jmp trap_common

# ---- interrupts: noted in pending_interrupts and acknowledged; those that hit a program enter the kernel as vector 256
    .macro interrupt_stubs number, bit
interrupt_ring0_\number:
    lock btsq $\bit, pending_interrupts(%rip)
    jmp interrupt_ring0
interrupt_nucleus_\number:
    lock btsq $\bit, pending_interrupts(%rip)
    jmp interrupt_nucleus
    .endm
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    interrupt_stubs \n, \n
    .endr
    interrupt_stubs 32, 32              # the timer

    .macro end_of_interrupt
    push %rax
    push %rcx
    push %rdx
    mov $0x80b, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    pop %rdx
    .endm

interrupt_ring0:
    end_of_interrupt
    testb $3, 24(%rsp)
    jnz 1f
    pop %rcx
    pop %rax
    iretq
1:  pop %rcx
    pop %rax
    pushq $0
    pushq $0
    pushq $256
    jmp trap_common

interrupt_nucleus:
    end_of_interrupt
    cmpl $-1, 20(%rsp)
    jne 2f
    mov 16(%rsp), %rax
    cmp $exit_window_start, %rax
    jb 1f
    cmp $exit_window_end, %rax
    jae 1f
    movq $exit_restart, 16(%rsp)
1:  pop %rcx
    pop %rax
    iretq
2:  pop %rcx
    mov %rsp, %rax
    copy_frame_to_kernel_stack 8
    mov (%rax), %rax
    go_on_in_ring3 interrupt_ring3
interrupt_ring3:
    movq $256, (%rsp)
    jmp trap_common

interrupt_spurious:
    iretq

# ---- switch_stacks(save: *mut u64, load: u64): the callee-saved registers go to the old stack, and come from the new
    .globl switch_stacks
switch_stacks:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    .section .bss
    .balign 8
syscall_rsp: .skip 8
nucleus_rax: .skip 8

# ---- gate targets, for the IDT that Rust builds: exceptions 0-31, interrupts 0-31, the timer, spurious
    .section .rodata
    .balign 8
    .macro gates kind
    .irp v, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    .quad exception_\kind\()_\v
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    .quad interrupt_\kind\()_\n
    .endr
    .quad interrupt_\kind\()_32
    .quad interrupt_spurious
    .endm
    .globl gates_ring0
gates_ring0:
    gates ring0
    .globl gates_nucleus
gates_nucleus:
    gates nucleus
