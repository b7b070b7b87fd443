// Guest kernels that attack the VMM: each build does the one thing that ATTACK names, and then says "survived" and panics.
// Drivers of the virtio devices as they should be come from the VMM's own test guest.
#include "vsock.c"

extern void crash(void);

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define STATUS 0x70
#define NOTIFY 0x50
#define RAM_END 0x2000000ull  // -m 32M
#define IMAGE 0x100000000ull

// None of them is where this guest's own code, stack or page tables are: it has to live to tell.
static const uint64_t addresses[] = {
    0, 1, 15, 16, 0xfff, 0x1000, 0x700000, 0x708001, RAM_END - 4096, RAM_END - 16, RAM_END - 4, RAM_END - 1, RAM_END,
    RAM_END + 1, 0xd0000000ull, PV, 0xfee00000ull, 0xfffffff0ull, IMAGE - 1, IMAGE, IMAGE + 4096, 1ull << 47,
    (1ull << 52) - 8, 0x7fffffffffffffffull, ~0ull - 4096, ~0ull - 15, ~0ull - 3, ~0ull,
};

static void clear(uint64_t from, uint64_t to) {
    for (volatile uint64_t *at = (void *)from; at < (volatile uint64_t *)to; at++) *at = 0;
}

// A new start of the vsock device, whatever state it is in.
static void restart(void) {
    REG32(DEVICE(0) + STATUS) = 0;
    clear(0x200000, 0x203000), clear(0x210000, 0x213000);
    start();
}

// Waits until the device has looked at what was offered, or has given up. Not for ever.
static void settle(void) {
    for (int i = 0; i < 300; i++) {
        if (tx.used->index == tx.available->index) return;
        if (i % 100 == 99 && REG32(DEVICE(0) + STATUS) & 64) return;
        __asm__ volatile("pause");
    }
}

// The device still does what it is for: the control connection can be opened. It can be once only.
static void prove_alive(void) {
    restart();
    port = 5555, host_port = 1024;
    connect();
}

// Brings a device into a state: 0 reset ... 4 running, 5 broken, 6 given up.
static void bring_to(int device, int state) {
    uint64_t base = DEVICE(device);
    REG32(base + STATUS) = 0;
    if (state >= 1) REG32(base + STATUS) = 1;
    if (state >= 2) REG32(base + STATUS) = 3;
    if (state >= 3) REG32(base + 0x24) = 1, REG32(base + 0x20) = 1, REG32(base + STATUS) = 11;
    if (state < 4) return;
    for (int queue = 0; queue < (device ? 1 : 2); queue++) {
        REG32(base + 0x30) = queue, REG32(base + 0x38) = 64;
        REG32(base + 0x80) = 0x200000 + queue * 0x10000, REG32(base + 0x90) = 0x201000 + queue * 0x10000;
        REG32(base + 0xa0) = 0x202000 + queue * 0x10000, REG32(base + 0x44) = 1;
    }
    REG32(base + STATUS) = 15;
    if (state == 5) ((struct available *)0x201000)->index += 1000, REG32(base + NOTIFY) = 0;
    if (state == 6) REG32(base + STATUS) = 128;
}

// Every register, with every kind of value and width, in every state of every device.
static void registers(void) {
    static const uint32_t values[] = {0, 1, 3, 64, 0xffff, 0x80000000, 0xffffffff};
    for (int device = 0; device < 4; device++) {
        for (int state = 0; state <= 6; state++) {
            clear(0x200000, 0x203000);
            bring_to(device, state);
            for (uint64_t at = DEVICE(device); at < DEVICE(device) + 0x120; at += 4) {
                for (unsigned i = 0; i < LENGTH(values) && at != DEVICE(device) + STATUS; i++) REG32(at) = values[i];
                REG8(at + 1) = 0xff, REG64(at) = ~0ull, REG32(at + 2) = 1;
                (void)REG32(at), (void)REG8(at + 3), (void)REG64(at);
            }
            for (unsigned i = 0; i < LENGTH(values); i++) REG32(DEVICE(device) + STATUS) = values[i];
        }
    }
    for (int i = 1; i < 4; i++) REG32(DEVICE(i) + STATUS) = 0;
    prove_alive();
}

// Queues anywhere, of any size.
static void layouts(void) {
    static const uint32_t sizes[] = {0, 1, 3, 64, 256, 512, 0x8000, 0x10000};
    for (unsigned a = 0; a < LENGTH(addresses); a++) {
        for (int which = 0; which < 4; which++) {
            uint64_t at[3] = {0x200000, 0x201000, 0x202000};
            if (which < 3) at[which] = addresses[a];
            else at[0] = at[1] = at[2] = addresses[a];
            REG32(DEVICE(0) + STATUS) = 0;
            REG32(DEVICE(0) + STATUS) = 3;
            REG32(DEVICE(0) + 0x24) = 1, REG32(DEVICE(0) + 0x20) = 1, REG32(DEVICE(0) + STATUS) = 11;
            for (int queue = 0; queue < 3; queue++) {
                REG32(DEVICE(0) + 0x30) = queue, REG32(DEVICE(0) + 0x38) = sizes[(a + which) % LENGTH(sizes)];
                for (int i = 0; i < 3; i++) {
                    REG32(DEVICE(0) + 0x80 + 16 * i) = at[i], REG32(DEVICE(0) + 0x84 + 16 * i) = at[i] >> 32;
                }
                REG32(DEVICE(0) + 0x44) = 1;
            }
            REG32(DEVICE(0) + STATUS) = 15;
            REG32(DEVICE(0) + NOTIFY) = 1;
            // Changed while it is in use.
            REG32(DEVICE(0) + 0x38) = 1, REG32(DEVICE(0) + 0x80) = 0, REG32(DEVICE(0) + 0x44) = 0;
            REG32(DEVICE(0) + NOTIFY) = 0;
        }
    }
    prove_alive();
}

static void offer_tx(uint64_t address, uint32_t len, uint16_t flags, uint16_t next) {
    tx.descriptors[0] = (struct descriptor){address, len, flags, next};
    offer(&tx, 0);
    REG32(DEVICE(0) + NOTIFY) = 1;
    settle();
}

// Descriptors that lie, and chains without end.
static void descriptors(void) {
    static const uint32_t lengths[] = {0, 1, 43, 44, 45, 0x7fffffff, 0xffffffff};
    restart();
    for (unsigned a = 0; a < LENGTH(addresses); a++) {
        for (unsigned l = 0; l < LENGTH(lengths); l++) {
            offer_tx(addresses[a], lengths[l], (a + l) % 5, l);
            // The same to receive into; an answer is due to what was sent last.
            rx.descriptors[l] = (struct descriptor){addresses[a], lengths[l], 2 | (l & 1), 0};
            offer(&rx, l);
        }
        host_port = 9, send(REQUEST, 0, 0, 0);
        settle();
        restart();
    }
    // Up to the last byte of RAM, and one further.
    for (uint32_t beyond = 0; beyond < 2; beyond++) {
        *(struct header *)(RAM_END - HEADER) = (struct header){GUEST, HOST, 1, 9, 0, 1, REQUEST, 0, 1000, 0};
        offer_tx(RAM_END - HEADER, HEADER + beyond, 0, 0);
    }
    restart();
    offer_tx(0x300000, HEADER, 1, 0);  // to itself
    restart();
    tx.descriptors[1] = (struct descriptor){0x300000, HEADER, 1, 0};
    offer_tx(0x300000, HEADER, 1, 1);  // there and back
    restart();
    offer_tx(0x300000, HEADER, 1, 0xffff);  // to nowhere
    restart();
    for (int i = 1; i < SIZE; i++) tx.descriptors[i] = (struct descriptor){0x300000, 0xffffffff, i < SIZE - 1, i + 1};
    offer_tx(0x300000, HEADER, 1, 1);  // as long as a chain can be, of 256 GiB
    restart();
    for (int i = 0; i < SIZE; i++) *(struct descriptor *)(0x300000ull + 16 * i) = (struct descriptor){0x300000, 1024, 5, i};
    offer_tx(0x300000, 1024, 4, 0);  // a table of tables
    for (unsigned i = 0; i < 70; i++) {
        restart();
        tx.available->index += i * 937, REG32(DEVICE(0) + NOTIFY) = 1;
        tx.available->ring[i % SIZE] = 0xffff, settle();
    }
    prove_alive();
}

// Takes what came, without a look at it.
static void drain(void) {
    while (rx.used->index != rx.seen) post(rx.used->ring[rx.seen++ % SIZE].id);
    kick(&rx);
}

// A packet as it comes, with a number of bytes behind it that need not be what it says. Answers are taken only when the
// device accepts nothing any more before they are.
static void send_raw(struct header header, uint32_t header_len, uint32_t payload) {
    static uint16_t next;
    uint16_t slot = next++ % (SIZE / 2);
    for (int i = 1; (uint16_t)(tx.available->index - tx.used->index) >= SIZE / 2; i++) {
        if (i % 100 == 0) drain();
        if (i == 5000) return;
    }
    *tx_header(slot) = header;
    tx.descriptors[slot] = (struct descriptor){(uintptr_t)tx_header(slot), header_len, payload ? 1 : 0, slot + SIZE / 2};
    tx.descriptors[slot + SIZE / 2] = (struct descriptor){0x600000, payload, 0, 0};
    offer(&tx, slot);
    kick(&tx);
}

// Headers of every wrong length, operation, type and address, and lies about credit, before and after connecting.
static void headers(void) {
    static const uint32_t numbers[] = {0, 1, 43, 65535, 65536, 65537, 0x7fffffff, 0x80000000, 0xffffffff};
    restart();
    for (int round = 0; round < 2; round++) {
        uint32_t to = round ? 1024 : 9;
        if (round) prove_alive();
        for (uint32_t len = 0; len < HEADER; len += 1 + round * 5) {
            send_raw((struct header){GUEST, HOST, 7, to, 0, 1, REQUEST, 0, 1000, 0}, len, 0);
        }
        for (unsigned i = 0; i < LENGTH(numbers); i++) {
            for (int op = 0; op < 10; op++) {
                send_raw((struct header){GUEST, HOST, 7 + round, to, numbers[i], 1, op, numbers[i], numbers[i], 0}, HEADER, 100);
            }
            send_raw((struct header){GUEST, HOST, 7, to, 0, numbers[i], REQUEST, 0, 1000, 0}, HEADER, 0);
            send_raw((struct header){numbers[i], HOST, 7, to, 0, 1, REQUEST, 0, 1000, 0}, HEADER, 0);
            send_raw((struct header){GUEST, numbers[i], 7, to, 0, 1, REQUEST, 0, 1000, 0}, HEADER, 0);
            send_raw((struct header){GUEST, HOST, 7, numbers[i], 0, 1, REQUEST, 0, 1000, 0}, HEADER, 0);
            drain();
        }
    }
    // Of the connection itself: more than there was, less than there was, nothing.
    for (unsigned i = 0; i < LENGTH(numbers); i++) {
        send_raw((struct header){GUEST, HOST, 5555, 1024, 0, 1, CREDIT_UPDATE, 0, numbers[i], numbers[8 - i]}, HEADER, 0);
        drain();
    }
    settle();
}

// Thousands of connections, to where nobody is and to where somebody is, while no answer is taken.
static void connections(void) {
    restart();
    for (uint32_t i = 0; i < 3000; i++) {
        send_raw((struct header){GUEST, HOST, 10000 + i, 9, 0, 1, REQUEST, 0, 1000, 0}, HEADER, 0);
        if (i % 1000 == 999) drain();
    }
    // A reset of the device while all of them are on their way.
    restart();
    connect();
    for (uint32_t i = 0; i < 1000; i++) {
        send_raw((struct header){GUEST, HOST, 20000 + i, 1024, 0, 1, REQUEST, 0, 1000, 0}, HEADER, 0);
        send_raw((struct header){GUEST, HOST, 20000 + i, 1024, 0, 1, RST, 0, 1000, 0}, HEADER, 0);
        if (i % 100 == 99) drain();
    }
    settle();
}

// Doorbells, interrupts, and resets without end.
static void doorbells(void) {
    restart();
    for (int i = 0; i < 10000; i++) REG32(DEVICE(0) + NOTIFY) = i & 3;
    for (int i = 0; i < 2000; i++) REG32(DEVICE(1) + NOTIFY) = i;
    tx.available->flags = 0;
    for (int i = 0; i < 500; i++) send_raw((struct header){GUEST, HOST, 7, 9, 0, 1, RST, 0, 0, 0}, HEADER, 0);
    for (int i = 0; i < 200; i++) REG32(DEVICE(i % 4) + STATUS) = 0;
    prove_alive();
}

// Megabytes of log, by all ways that there are.
static void chatter(void) {
    for (uint64_t *at = (void *)0x600000; at < (uint64_t *)0x610000; at++) *at = 0x0a6c6c6566206d65ull;
    for (int i = 0; i < 400; i++) REG64(PV + 0x818) = 0x600000 | 0xfff8ull << 48;
    for (int i = 0; i < 2000; i++) out8(0x3f8, i), out8(0x3f9, i), out8(0x3fc, i);
    const void *text = (void *)0x600000;
    uint64_t count = 0x10000;
    __asm__ volatile("rep outsb" : "+S"(text), "+c"(count) : "d"(0x3f8));
    for (int i = 0; i < 20000; i++) REG64(PV) = 0x1b5b324a1b5b324aull;
}

// The page that the kernel and the VMM talk through, with every address, count and width.
static void pv(void) {
    static uint32_t batch[1 + 2 * 256];
    for (unsigned a = 0; a < LENGTH(addresses); a++) {
        REG64(PV + 0x810) = addresses[a];
        REG64(PV + 0x818) = addresses[a];
        REG64(PV + 0x818) = addresses[a] | 0xffffull << 48;
        REG64(PV + 0x800) = addresses[a];
        REG32(PV + 0x810) = addresses[a], REG32(PV + 0x818) = addresses[a];
        REG8(PV + 0x800) = addresses[a];
        REG32(PV + 0x800) = addresses[a] | 0x10000;
    }
    static const uint32_t counts[] = {0, 1, 256, 257, 0x20000000, 0xffffffff};
    for (unsigned c = 0; c < LENGTH(counts); c++) {
        batch[0] = counts[c];
        for (unsigned i = 0; i < 256; i++) batch[1 + 2 * i] = i * 0x1004, batch[2 + 2 * i] = i;
        REG64(PV + 0x810) = (uintptr_t)batch;
        for (unsigned i = 0; i < 256; i++) batch[1 + 2 * i] = 0x70, batch[2 + 2 * i] = 0;  // 256 resets
        REG64(PV + 0x810) = (uintptr_t)batch;
        for (unsigned i = 0; i < 256; i++) batch[1 + 2 * i] = 0x100810;  // a batch within
        REG64(PV + 0x810) = (uintptr_t)batch;
        *(uint32_t *)(RAM_END - 4) = counts[c], REG64(PV + 0x810) = RAM_END - 4;
    }
    for (uint64_t at = PV + 0x10; at < PV + 0x2000; at += 16) {
        if (at != PV + 0x800) (void)REG32(at), REG8(at + 1) = 1, REG32(at) = 0xffffffff, REG64(at + 8) = ~0ull;
    }
    prove_alive();
}

// Where there is nothing: memory and ports.
static void nowhere(void) {
    uint64_t *directory = (void *)0xc000;  // of 3 to 4 GiB
    for (int i = 0; i < 512; i++) directory[i] = (0xc0000000ull + i * 0x200000ull) | 0x9b;
    __asm__ volatile("mov %%cr3, %%rax; mov %%rax, %%cr3" ::: "rax", "memory");
    for (uint64_t at = 0xc0000000ull; at < 0x100000000ull; at += 0x200000) {
        if (at == 0xfee00000ull) continue;
        (void)REG64(at), REG8(at + 4095) = 1, REG64(at + 4092) = ~0ull;
    }
    for (uint64_t at = 0; at < 300; at++) REG64(IMAGE + at * 4096) = ~0ull;
    for (uint32_t number = 0; number < 0x10000; number += 13) {
        (void)in8(number), out8(number, 0x5a);
        __asm__ volatile("out %0, %w1; in %w1, %0" :: "a"(0x5a5a5a5a), "d"(number));
    }
    uint64_t count = 5000;
    void *to = (void *)0x600000;
    __asm__ volatile("rep insl" : "+D"(to), "+c"(count) : "d"(0x80) : "memory");
    prove_alive();
}

// Writes to the root image by every way: the processor, and devices that are told to.
static void image(void) {
    for (uint64_t at = IMAGE; at < IMAGE + 0x200000; at += 2048) REG64(at) = 0x6b63617474410a0aull;
    restart();
    for (int i = 0; i < SIZE; i++) rx.descriptors[i] = (struct descriptor){IMAGE + i * 4096, 4096, 2, 0}, offer(&rx, i);
    for (int i = 0; i < 50; i++) send_raw((struct header){GUEST, HOST, 7, 9, 0, 1, REQUEST, 0, 1000, 0}, HEADER, 0);
    settle();
    for (int device = 1; device < 3; device++) {
        bring_to(device, 4);
        *(struct descriptor *)0x200000 = (struct descriptor){0x300000, 4, 1, 1};
        *(struct descriptor *)0x200010 = (struct descriptor){IMAGE, 4, 2, 0};
        ((struct available *)0x201000)->index++, REG32(DEVICE(device) + NOTIFY) = 0;
        REG32(DEVICE(device) + STATUS) = 0;
    }
}

static void spin(void) { print("spinning\n"); for (;;) __asm__ volatile("cli"); }

#ifdef FRAMES
static const uint8_t bytes[] = {FRAMES};
// An agent that says this, once or for ever, and listens to nothing.
static void frames(void) {
    restart(), connect();
    do {
        while (peer_buf_alloc - (sent - peer_fwd_cnt) < sizeof bytes) drain(), receive();
        send(RW, 0, bytes, sizeof bytes);
    } while (AGAIN);
    if (CLOSE) send(SHUTDOWN, 3, 0, 0);
    for (;;) drain();
}
#endif

void guest(const uint8_t *boot_params) {
    (void)boot_params;
    ATTACK();
    print("\nsurvived\n");
    end(2);
}
