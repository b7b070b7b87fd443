// A guest kernel that does one thing, which CASE says, as the 64-bit boot protocol enters it.
.globl _start
.text
_start:
    movq $0xc003, 0xa018            // PDPT[3]: 3 to 4 GiB ...
    mov $0xd000009b, %eax           // ... of which the 2 MiB at 0xd0000000 are mapped, uncached
    mov %rax, 0xc400
    mov %cr3, %rax
    mov %rax, %cr3
    mov $0xd0100000, %edx           // the page that takes the log and the last word
    mov text(%rip), %rax
    mov %rax, (%rdx)
#ifdef END
    movl $END, 0x800(%rdx)
#endif
#ifdef TRIPLE_FAULT
    lidt empty(%rip)
    ud2
#endif
#ifdef SPIN
    jmp .
#endif
#ifdef CHATTER
1:  mov %rax, (%rdx)
    jmp 1b
#endif
1:  cli
    hlt
    jmp 1b
text:  .ascii "oh dear\n"
empty: .word 0
       .quad 0
