// What the test guests have in common.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define DEVICE(n) (0xd0000000ull + (n) * 0x1000ull)
#define PV 0xd0100000ull
#define REG8(address) (*(volatile uint8_t *)(address))
#define REG32(address) (*(volatile uint32_t *)(address))
#define REG64(address) (*(volatile uint64_t *)(address))

extern volatile uint32_t interrupts;
extern void set_up_interrupts(void);
extern void crash(void);

// Appends to the log, eight characters at a time.
static inline void print(const char *text) {
    while (*text) {
        uint64_t word = 0;
        for (int i = 0; i < 8 && *text; i++) word |= (uint64_t)(uint8_t)*text++ << 8 * i;
        REG64(PV) = word;
    }
}

static inline void print_hex(uint64_t value) {
    char digits[19] = "0x0000000000000000";
    for (int i = 17; i > 1; i--, value >>= 4) digits[i] = "0123456789abcdef"[value & 15];
    print(digits);
}

// Prints "name=0x... ".
static inline void show(const char *name, uint64_t value) {
    print(name), print("="), print_hex(value), print("\n");
}

static inline void end(uint32_t code) {
    REG32(PV + 0x800) = code;
    for (;;) __asm__ volatile("hlt");
}

static inline void out8(uint16_t port, uint8_t value) { __asm__ volatile("out %0, %1" ::"a"(value), "Nd"(port)); }
static inline uint8_t in8(uint16_t port) {
    uint8_t value;
    __asm__ volatile("in %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

// Sleeps until there is an interrupt, unless `interrupts` has moved on since it was `seen`.
static inline void sleep_unless(uint32_t seen) {
    __asm__ volatile("cli");
    if (interrupts == seen) __asm__ volatile("sti; hlt");
    __asm__ volatile("sti");
}

void test_echo(void);
void test_sink_and_power_off(void);
void test_flood(void);
void test_accept(void);
void test_hostile_queues(void);
void test_reset_device(void);
