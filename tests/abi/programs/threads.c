/* Threads as the C library makes them: locks, conditions, barriers, local storage, cancellation, many at once. */
// abi: dynamic
#include "abi.h"
#include <pthread.h>
#include <semaphore.h>

#define OK(call) ok(#call, (call))

static void ok(const char *text, int error) {
    printf("%s: %s\n", text, error ? errno_name(error) : "0");
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static long counter;
static __thread int local = 5;

static void *count(void *argument) {
    for (long i = 0; i < (long)argument; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
    }
    local += (long)argument;
    return (void *)(long)local;
}

static void counting(void) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) OK(pthread_create(&threads[i], NULL, count, (void *)20000L));
    long sum = 0;
    for (int i = 0; i < 8; i++) {
        void *result;
        pthread_join(threads[i], &result);
        sum += (long)result;
    }
    SHOW(counter);
    SHOW(sum);
    SHOW(local);
    OK(pthread_join(pthread_self(), NULL));
}

static int turn;

static void *ping(void *argument) {
    int mine = (long)argument;
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&mutex);
        while (turn != mine) pthread_cond_wait(&condition, &mutex);
        turn = !mine;
        counter++;
        pthread_cond_broadcast(&condition);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void conditions(void) {
    counter = 0;
    pthread_t threads[2];
    for (long i = 0; i < 2; i++) pthread_create(&threads[i], NULL, ping, (void *)i);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    SHOW(counter);
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 20000000;
    if (soon.tv_nsec >= 1000000000) soon.tv_sec++, soon.tv_nsec -= 1000000000;
    pthread_mutex_lock(&mutex);
    OK(pthread_cond_timedwait(&condition, &mutex, &soon));
    OK(pthread_mutex_trylock(&mutex));
    OK(pthread_mutex_timedlock(&mutex, &soon));
    pthread_mutex_unlock(&mutex);
}

static pthread_barrier_t barrier;
static int serial, phases[3];

static void *meet(void *argument) {
    (void)argument;
    for (int phase = 0; phase < 3; phase++) {
        __atomic_add_fetch(&phases[phase], 1, __ATOMIC_SEQ_CST);
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) __atomic_add_fetch(&serial, 1, __ATOMIC_SEQ_CST);
        if (phases[phase] != 6) return (void *)1;
    }
    return NULL;
}

static void barriers(void) {
    pthread_t threads[6];
    pthread_barrier_init(&barrier, NULL, 6);
    long early = 0;
    for (int i = 0; i < 6; i++) pthread_create(&threads[i], NULL, meet, NULL);
    for (int i = 0; i < 6; i++) {
        void *result;
        pthread_join(threads[i], &result);
        early += (long)result;
    }
    SHOW(serial);
    SHOW(early);
}

static void kinds_of_locks(void) {
    pthread_mutexattr_t attributes;
    pthread_mutex_t special;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&special, &attributes);
    OK(pthread_mutex_lock(&special));
    OK(pthread_mutex_lock(&special));
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&special, &attributes);
    OK(pthread_mutex_lock(&special));
    OK(pthread_mutex_lock(&special));
    OK(pthread_mutex_unlock(&special));
    OK(pthread_mutex_unlock(&special));
    pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
    OK(pthread_rwlock_rdlock(&rw));
    OK(pthread_rwlock_tryrdlock(&rw));
    OK(pthread_rwlock_trywrlock(&rw));
    sem_t semaphore;
    SHOW(sem_init(&semaphore, 0, 2));
    SHOW(sem_wait(&semaphore));
    SHOW(sem_trywait(&semaphore));
    SHOW(sem_trywait(&semaphore));
    SHOW(sem_post(&semaphore));
    SHOW(sem_wait(&semaphore));
}

/* A lock in shared memory whose owner dies is passed on with a word of warning. */
static void robust(void) {
    pthread_mutex_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    OK(pthread_mutex_init(shared, &attributes));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        pthread_mutex_lock(shared);
        sleep_ms(100);
        _exit(0);
    }
    sleep_ms(30);
    OK(pthread_mutex_lock(shared));
    OK(pthread_mutex_consistent(shared));
    OK(pthread_mutex_unlock(shared));
    OK(pthread_mutex_lock(shared));
    reap("owner", pid);
    /* And one that lives hands over. */
    pid = MUST(fork());
    if (pid == 0) {
        int error = pthread_mutex_lock(shared);
        if (!error) pthread_mutex_unlock(shared);
        _exit(error);
    }
    sleep_ms(30);
    pthread_mutex_unlock(shared);
    reap("waiter", pid);
}

static void *many(void *argument) {
    int *slot = argument;
    sched_yield();
    *slot += local;
    return slot;
}

static void a_lot(void) {
    enum { COUNT = 200 };
    pthread_t threads[COUNT];
    static int slots[COUNT];
    int created = 0, sum = 0;
    for (int i = 0; i < COUNT; i++) created += pthread_create(&threads[i], NULL, many, &slots[i]) == 0;
    for (int i = 0; i < COUNT; i++) pthread_join(threads[i], NULL), sum += slots[i];
    SHOW(created);
    SHOW(sum);
    for (int i = 0; i < 500; i++) {
        pthread_t one;
        if (pthread_create(&one, NULL, many, &slots[0])) break;
        pthread_join(one, NULL);
        sum++;
    }
    SHOW(sum);
}

static int cleaned;

static void clean(void *argument) {
    cleaned += (long)argument;
}

static void *cancelled(void *argument) {
    int *fd = argument;
    char c;
    pthread_cleanup_push(clean, (void *)1);
    pthread_cleanup_push(clean, (void *)10);
    read(*fd, &c, 1);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *spinning(void *argument) {
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    *(volatile int *)argument = 1;
    for (;;) {}
    return NULL;
}

static void cancellation(void) {
    int ends[2];
    volatile int started = 0;
    MUST(pipe(ends));
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, cancelled, &ends[0]);
    sleep_ms(20);
    OK(pthread_cancel(thread));
    OK(pthread_join(thread, &result));
    IS(result == PTHREAD_CANCELED);
    SHOW(cleaned);
    pthread_create(&thread, NULL, spinning, (void *)&started);
    while (!started) sched_yield();
    OK(pthread_cancel(thread));
    pthread_join(thread, &result);
    IS(result == PTHREAD_CANCELED);
    pthread_create(&thread, NULL, many, &cleaned);
    OK(pthread_detach(thread));
    sleep_ms(50);
    OK(pthread_setname_np(pthread_self(), "a name"));
    char name[16];
    OK(pthread_getname_np(pthread_self(), name, sizeof name));
    puts(name);
}

int main(void) {
    counting();
    conditions();
    barriers();
    kinds_of_locks();
    robust();
    a_lot();
    cancellation();
}
