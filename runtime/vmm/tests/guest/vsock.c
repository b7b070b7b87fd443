// A virtio-vsock driver of the smallest kind, and the tests that need one.
#include "guest.h"

enum { SIZE = 64, BUFFERS = 16, BUFFER = 32768, HEADER = 44, HOST = 2, GUEST = 3 };
enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST };

struct descriptor { uint64_t address; uint32_t len; uint16_t flags, next; };
struct available { volatile uint16_t flags, index; volatile uint16_t ring[SIZE], used_event; };
struct used { volatile uint16_t flags, index; volatile struct { uint32_t id, len; } ring[SIZE]; };
struct queue { struct descriptor *descriptors; struct available *available; struct used *used; uint16_t seen; };
struct header {  // of a packet; the payload follows
    uint64_t src_cid, dst_cid;
    uint32_t src_port, dst_port, len;
    uint16_t type, op;
    uint32_t flags, buf_alloc, fwd_cnt;
} __attribute__((packed));

static struct queue rx, tx;
static uint32_t received, sent, peer_buf_alloc, peer_fwd_cnt;
static uint32_t port = 5555, host_port = 1024;
static int interrupts_on;

static uint8_t *buffer(int number) { return (uint8_t *)0x400000 + number * BUFFER; }
static struct header *tx_header(int number) { return (struct header *)(0x300000ull + number * 64); }

static void set_up_queue(struct queue *queue, int number, uint64_t base) {
    queue->descriptors = (void *)base, queue->available = (void *)(base + 0x1000), queue->used = (void *)(base + 0x2000);
    REG32(DEVICE(0) + 0x30) = number;
    REG32(DEVICE(0) + 0x38) = SIZE;
    REG32(DEVICE(0) + 0x80) = base, REG32(DEVICE(0) + 0x90) = base + 0x1000, REG32(DEVICE(0) + 0xa0) = base + 0x2000;
    REG32(DEVICE(0) + 0x44) = 1;
}

static void offer(struct queue *queue, uint16_t head) {
    queue->available->ring[queue->available->index % SIZE] = head;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    queue->available->index++;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void kick(struct queue *queue) {
    if (!(queue->used->flags & 1)) REG32(DEVICE(0) + 0x50) = queue == &tx;
}

static void post(int number) {
    rx.descriptors[number] = (struct descriptor){(uintptr_t)buffer(number), BUFFER, 2, 0};
    offer(&rx, number);
}

static void start(void) {
    REG32(DEVICE(0) + 0x70) = 3;
    REG32(DEVICE(0) + 0x24) = 1, REG32(DEVICE(0) + 0x20) = 1;
    REG32(DEVICE(0) + 0x70) = 11;
    set_up_queue(&rx, 0, 0x200000);
    set_up_queue(&tx, 1, 0x210000);
    REG32(DEVICE(0) + 0x70) = 15;
    rx.seen = tx.seen = 0;
    tx.available->flags = 1;
    for (int i = 0; i < BUFFERS; i++) post(i);
    kick(&rx);
    if (interrupts_on) set_up_interrupts();
}

// Sends a packet, with `len` bytes at `data`. Each slot is used again after SIZE / 2 packets.
static void send(uint16_t op, uint32_t flags, const void *data, uint32_t len) {
    static uint16_t next;
    uint16_t slot = next++ % (SIZE / 2);
    while ((uint16_t)(tx.available->index - tx.used->index) >= SIZE / 2) __asm__ volatile("pause");
    *tx_header(slot) = (struct header){GUEST, HOST, port, host_port, len, 1, op, flags, BUFFERS * BUFFER, received};
    tx.descriptors[slot] = (struct descriptor){(uintptr_t)tx_header(slot), HEADER, len ? 1 : 0, slot + SIZE / 2};
    tx.descriptors[slot + SIZE / 2] = (struct descriptor){(uintptr_t)data, len, 0, 0};
    sent += len;
    offer(&tx, slot);
    kick(&tx);
}

// Waits for a packet. Its buffer is to be posted again.
static int receive(void) {
    while (rx.used->index == rx.seen) {
        uint32_t count = interrupts;
        if (!interrupts_on) __asm__ volatile("pause");
        else if (rx.used->index == rx.seen) sleep_unless(count);
    }
    int number = rx.used->ring[rx.seen++ % SIZE].id;
    struct header *header = (void *)buffer(number);
    peer_buf_alloc = header->buf_alloc, peer_fwd_cnt = header->fwd_cnt;
    return number;
}

static struct header wait_for(uint16_t op) {
    for (;;) {
        int number = receive();
        struct header header = *(struct header *)buffer(number);
        post(number), kick(&rx);
        if (header.op == op) return header;
        if (header.op == RST) print("reset by the host\n"), end(2);
    }
}

static void connect(void) {
    send(REQUEST, 0, 0, 0);
    wait_for(RESPONSE);
}

// Sends back all that comes, then shuts down; ends when the host has reset the connection.
static void echo(void) {
    int waiting[BUFFERS], first = 0, count = 0, is_closing = 0;
    for (;;) {
        while (count) {
            struct header *header = (void *)buffer(waiting[first]);
            if (peer_buf_alloc - (sent - peer_fwd_cnt) < header->len) break;
            send(RW, 0, header + 1, header->len);
            // The buffer must be sent before it is filled again.
            while (tx.used->index != tx.available->index) __asm__ volatile("pause");
            post(waiting[first]), kick(&rx);
            first = (first + 1) % BUFFERS, count--;
        }
        if (is_closing && !count) send(SHUTDOWN, 3, 0, 0), is_closing = 0;
        int number = receive();
        struct header *header = (void *)buffer(number);
        if (header->op == RW) {
            received += header->len;
            waiting[(first + count++) % BUFFERS] = number;
            continue;
        }
        if (header->op == CREDIT_REQUEST) send(CREDIT_UPDATE, 0, 0, 0);
        if (header->op == SHUTDOWN) is_closing = 1;
        int is_over = header->op == RST;
        post(number), kick(&rx);
        if (is_over) return;
    }
}

void test_echo(void) {
    interrupts_on = 1;
    start(), connect(), echo();
    show("interrupted", interrupts > 0);
}

// Sends 200 KB and powers off at once.
void test_sink_and_power_off(void) {
    start(), connect();
    for (int i = 0; i < 200; i++) {
        for (int j = 0; j < 250; j++) ((volatile uint32_t *)0x600000)[i * 250 + j] = i * 250 + j;
        send(RW, 0, (void *)(0x600000ull + i * 1000), 1000);
    }
    print("sent\n");
    end(0);
}

// Sends more than it may.
void test_flood(void) {
    start(), connect();
    for (int i = 0; i < 100; i++) send(RW, 0, (void *)0x600000, 60000);
    wait_for(RST);
    print("was reset\n");
}

// Waits for the host to connect to port 80, and echoes.
void test_accept(void) {
    interrupts_on = 1;
    start();
    print("listening\n");
    struct header request = wait_for(REQUEST);
    show("port", request.dst_port);
    port = request.dst_port, host_port = request.src_port;
    send(RESPONSE, 0, 0, 0), echo();
}

// Queues that make no sense. The device gives up, and can be started again.
void test_hostile_queues(void) {
    start();
    tx.available->index += 1000;
    REG32(DEVICE(0) + 0x50) = 1;
    while (!(REG32(DEVICE(0) + 0x70) & 64)) ;
    print("needs reset\n");
    REG32(DEVICE(0) + 0x70) = 0;
    for (volatile uint64_t *at = (void *)0x200000; at < (volatile uint64_t *)0x203000; at++) *at = 0;
    for (volatile uint64_t *at = (void *)0x210000; at < (volatile uint64_t *)0x213000; at++) *at = 0;
    start(), connect();
    send(RW, 0, "fine\n", 5);
    end(0);
}

// A reset in the middle closes the connection, and the queues can be reused at once.
void test_reset_device(void) {
    start(), connect();
    send(RW, 0, "before", 6);
    while (tx.used->index != tx.available->index) ;
    REG32(DEVICE(0) + 0x70) = 0;
    show("status", REG32(DEVICE(0) + 0x70));
    end(0);
}
