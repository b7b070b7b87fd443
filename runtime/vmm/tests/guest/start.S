// Entered as the 64-bit boot protocol says. Maps devices and images, sets up a stack and an IDT, calls guest().

.globl _start, interrupts, crash
.text
_start:
    mov %rsi, %rdi
    mov $0x1f0000, %rsp
    movq $0xc003, 0xa018            // PDPT[3]: 3 to 4 GiB ...
    mov $0xd000009b, %eax           // ... of which the 2 MiB at 0xd0000000 are mapped, uncached
    mov %rax, 0xc400
    movq $0xd003, 0xa020            // PDPT[4]: 4 to 5 GiB ...
    mov $0x100000083, %rax          // ... of which the first 4 MiB are mapped
    mov %rax, 0xd000
    mov $0x100200083, %rax
    mov %rax, 0xd008
    mov %cr3, %rax
    mov %rax, %cr3
    call guest
    hlt

// An IDT entry for every vector, all the same: counts, acknowledges.
.globl set_up_interrupts
set_up_interrupts:
    lea handler(%rip), %rax
    mov $0x80000, %edx              // the IDT
    mov $256, %ecx
1:  mov %ax, (%rdx)
    movw $0x10, 2(%rdx)
    movw $0x8e00, 4(%rdx)
    mov %rax, %rsi
    shr $16, %rsi
    mov %si, 6(%rdx)
    movq $0, 8(%rdx)
    add $16, %rdx
    dec %ecx
    jnz 1b
    lidt idtr(%rip)
    mov $0x1b, %ecx                 // APIC base: x2APIC on
    rdmsr
    or $0xc00, %eax
    wrmsr
    mov $0x80f, %ecx                // spurious vector: APIC on
    mov $0x1ff, %eax
    xor %edx, %edx
    wrmsr
    ret

handler:
    push %rax; push %rcx; push %rdx
    incl interrupts(%rip)
    mov $0x80b, %ecx                // EOI
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    pop %rdx; pop %rcx; pop %rax
    iretq

// A triple fault.
crash:
    lidt empty(%rip)
    ud2

.data
idtr: .word 4095
      .quad 0x80000
empty: .word 0
       .quad 0
.balign 4
interrupts: .long 0
