// The test guest: does what the word test=NAME of its command line says.
#include "guest.h"

static const uint8_t *boot_params;

static int has_word(const char *word) {
    const char *text = (const char *)(uintptr_t)*(const uint32_t *)(boot_params + 0x228);
    for (; *text; text++) {
        const char *a = text, *b = word;
        while (*b && *a == *b) a++, b++;
        if (!*b && (!*a || *a == ' ')) return 1;
    }
    return 0;
}

static void show_boot(void) {
    print((const char *)(uintptr_t)*(const uint32_t *)(boot_params + 0x228)), print("\n");
    for (int i = 0; i < boot_params[0x1e8]; i++) {
        const uint8_t *entry = boot_params + 0x2d0 + 20 * i;
        show("e820.start", *(const uint64_t *)entry);
        show("e820.size", *(const uint64_t *)(entry + 8));
        show("e820.type", *(const uint32_t *)(entry + 16));
    }
    const uint64_t *setup = (const uint64_t *)*(const uint64_t *)(boot_params + 0x250);
    show("setup.next", setup[0]), show("setup.type_len", setup[1]), show("setup.seed", setup[2]);
    uint32_t eax = 1, ebx, ecx, edx;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
    show("cpuid.1.ecx", ecx), show("cpuid.1.ebx", ebx);
}

static void show_images(void) {
    volatile char *first = (volatile char *)0x100000000ull, *second = (volatile char *)0x100200000ull;
    char text[9] = {0};
    for (int i = 0; i < 8; i++) text[i] = first[i];
    print(text), print("|");
    for (int i = 0; i < 8; i++) text[i] = second[i];
    print(text), print("|");
    first[0] = '!';  // An image cannot be written; the store goes nowhere.
    text[0] = first[0], text[1] = 0;
    print(text), print("\n");
}

static void show_devices(void) {
    for (int n = 0; n < 2; n++) {
        show("magic", REG32(DEVICE(n))), show("version", REG32(DEVICE(n) + 4)), show("device", REG32(DEVICE(n) + 8));
        REG32(DEVICE(n) + 0x14) = 1;
        show("features", REG32(DEVICE(n) + 0x10));
        show("config", REG64(DEVICE(n) + 0x100));
    }
    show("nothing", REG32(DEVICE(2)));
    show("pv", REG32(PV + 0x100));
    show("ports", in8(0x80) | in8(0x70) << 8 | in8(0xcfc) << 16);
    REG32(0xd01ff000) = 7;
    out8(0x80, 7);
}

// Sets registers one by one and in a batch, and reads them back.
static void set_registers(void) {
    uint64_t device = DEVICE(0);
    REG32(device + 0x70) = 3;
    REG32(device + 0x30) = 1;
    REG32(device + 0x38) = 64;
    REG32(device + 0x80) = 0x200000, REG32(device + 0x90) = 0x201000, REG32(device + 0xa0) = 0x202000;
    REG32(device + 0x44) = 1;
    show("ready", REG32(device + 0x44));
    static uint32_t batch[] = {4, 0x30, 0, 0x38, 32, 0x80, 0x210000, 0x44, 1};
    REG64(PV + 0x810) = (uintptr_t)batch;
    show("ready", REG32(device + 0x44));
    REG32(device + 0x30) = 2;
    show("ready", REG32(device + 0x44));
    show("status", REG32(device + 0x70));
    REG32(device + 0x70) = 0;
    show("status", REG32(device + 0x70));
}

static void log_in_every_way(void) {
    for (const char *text = "bytes,"; *text; text++) REG8(PV) = *text;
    print("words,");
    static const char text[] = "text,";
    REG64(PV + 0x818) = (uintptr_t)text | (uint64_t)(sizeof text - 1) << 48;
    for (const char *text = "serial,"; *text; text++) out8(0x3f8, *text);
    // More than the VMM takes exits for, and more than KVM collects.
    for (int i = 0; i < 1000; i++) REG8(PV) = '0' + i % 10;
    print(",done\n");
}

void guest(const uint8_t *params) {
    boot_params = params;
    if (has_word("test=boot")) show_boot();
    if (has_word("test=images")) show_images();
    if (has_word("test=devices")) show_devices();
    if (has_word("test=registers")) set_registers();
    if (has_word("test=log")) log_in_every_way();
    if (has_word("test=echo")) test_echo();
    if (has_word("test=sink")) test_sink_and_power_off();
    if (has_word("test=flood")) test_flood();
    if (has_word("test=accept")) test_accept();
    if (has_word("test=hostile")) test_hostile_queues();
    if (has_word("test=reset-device")) test_reset_device();
    if (has_word("test=spin")) { print("spinning\n"); for (;;) ; }
    if (has_word("test=halt")) { print("halting\n"); for (;;) __asm__ volatile("cli; hlt"); }
    if (has_word("test=crash")) { print("about to crash\n"); crash(); }
    if (has_word("test=emulate")) {
        static uint64_t wide[2] __attribute__((aligned(16)));
        __asm__ volatile("lock cmpxchg16b %0" : "+m"(wide) : "a"(0), "d"(0), "b"(0), "c"(0) : "cc");
    }
    if (has_word("test=reset")) end(1);
    if (has_word("test=panic")) { print("panic: on purpose\n"); end(2); }
    if (has_word("test=oom")) end(3);
    if (has_word("test=keyboard-reset")) out8(0x64, 0xfe);
    if (has_word("test=no-memory")) { volatile char *nowhere = (volatile char *)0x3ffffff0; *nowhere = *nowhere; }
    REG32(PV + 0x800) = 77;  // Means nothing.
    end(0);
}
