# The first instructions, in ring 0 at a low physical address, as the Linux 64-bit boot protocol enters a kernel:
# long mode, identity-mapped paging, RSI = boot_params. On some hosts every instruction of ring 0 costs 0.65 us, so
# all that can be prepared at link time is, and Rust takes over in whatever ring SYSCALL leads to.

    .section .boot.tables, "aw"
    .globl boot_pml4, boot_pdpt_low, boot_pdpt_high, boot_pd
    .balign 4096
boot_pml4:                              # slot 0: identity (start-up only); 257: direct map; 511: the kernel at -2 GiB
    .quad boot_pdpt_low_physical + 7
    .fill 256, 8, 0
    .quad boot_pdpt_low_physical + 7
    .fill 253, 8, 0
    .quad boot_pdpt_high_physical + 7
boot_pdpt_low:                          # the direct map: Rust adds what lies above 1 GiB
    .quad boot_pd_physical + 7
    .fill 511, 8, 0
boot_pdpt_high:
    .fill 510, 8, 0
    .quad boot_pd_physical + 7
    .quad 0
boot_pd:                                # the first GiB in pages of 2 MiB: present, writable, user, large
    .set page, 0
    .rept 512
    .quad page + 0x87
    .set page, page + 0x200000
    .endr

    .section .boot.data, "aw"
    .balign 16
    .globl gdt
gdt:
    .quad 0, 0
    .quad 0x00af9b000000ffff            # 0x10: ring 0 code
    .quad 0x00cf93000000ffff            # 0x18: ring 0 data
    .quad 0x00cffb000000ffff            # 0x23: ring 3 code, 32 bits
    .quad 0x00cff3000000ffff            # 0x2b: ring 3 data
    .quad 0x00affb000000ffff            # 0x33: ring 3 code, 64 bits
    .quad 0
    .quad tss_descriptor_low            # 0x40
    .quad tss_descriptor_high
gdt_pointer:
    .word 79
    .quad gdt
idt_pointer:
    .word 4095
    .quad idt
    .balign 16
    .globl tss
tss:
    .long 0
    .quad boot_stack_top                # RSP0: the top of the current thread's kernel stack
    .quad 0, 0, 0
    .quad interrupt_stack_top           # IST1: interrupts, which may hit the kernel itself
    .quad service_stack_top             # IST2: UD2, by which the deprivileged kernel asks for services
    .quad fault_stack_top               # IST3: double faults, machine checks, NMIs
    .fill 5, 8, 0
    .word 104
    .globl syscall_target
syscall_target:                         # SYSCALL jumps through here: first to the probe, then to the real entry
    .quad probe

    .section .bss
    .balign 4096
    .globl idt
idt:
    .skip 4096
    .skip 512
    .globl interrupt_stack_top
interrupt_stack_top:
    .skip 512
    .globl service_stack_top
service_stack_top:
    .skip 1024
    .globl fault_stack_top
fault_stack_top:
    .balign 4096
    .skip 16384
    .globl boot_stack_top
boot_stack_top:

    .section .boot.text, "ax"
    .globl start
start:
    lgdt gdt_pointer(%rip)
    lidt idt_pointer(%rip)
    mov $boot_pml4_physical, %eax
    mov %rax, %cr3
    mov $boot_stack_top, %rsp
    mov $0x50620, %eax                  # CR4: PAE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE
    mov %rax, %cr4
    mov $0x80010033, %eax               # CR0: PG, WP, NE, ET, MP, PE
    mov %rax, %cr0
    mov $0xd, %eax                      # XCR0: what CPUID offers of x87, SSE, AVX, AVX-512
    xor %ecx, %ecx
    cpuid
    and $0xe7, %eax
    xor %ecx, %ecx
    xor %edx, %edx
    xsetbv
    mov $0xc0000080, %ecx               # EFER: NXE, LMA, LME, SCE
    mov $0xd01, %eax
    wrmsr
    mov $0xc0000081, %ecx               # STAR
    xor %eax, %eax
    mov $0x00230010, %edx
    wrmsr
    mov $0xc0000082, %ecx               # LSTAR
    mov $syscall_entry, %rax
    mov $0xffffffff, %edx
    wrmsr
    mov $0xc0000084, %ecx               # SFMASK: DF, TF, NT, AC; IF is added in ring 0 mode
    mov $0x44500, %eax
    xor %edx, %edx
    wrmsr
    mov $0x1b, %ecx                     # APIC base: x2APIC mode
    mov $0xfee00d00, %eax
    wrmsr
    mov $0x80f, %ecx                    # spurious vector 0xff, APIC enabled
    mov $0x1ff, %eax
    wrmsr
    mov $0x40, %eax
    ltr %ax
    pushq $0x2b
    pushq $boot_stack_top
    pushq $0x2
    pushq $0x33
    pushq $ring3_start
    iretq

    .section .nucleus, "ax"
    .globl syscall_entry
syscall_entry:
    jmp *syscall_target(%rip)
ring3_start:                            # which ring does SYSCALL lead to? RSI still holds boot_params
    syscall
    ud2
probe:
    mov %rsi, %rdi
    mov %cs, %esi
    and $3, %esi                        # second argument: 3 is the deprivileged mode, 0 is ring 0
    lea boot_stack_top(%rip), %rsp
    xor %ebp, %ebp
    call kernel_main
    ud2
