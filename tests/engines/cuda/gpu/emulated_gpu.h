// An emulated GPU on the CPU: memory, streams and kernels. libcuda.cpp provides the driver API on top of it.
//
// Streams are lazy: work runs when the stream is synchronized, so that a missing synchronization, or memory that is
// reused too early, gives a wrong result. Allocations end at an inaccessible page. The kernels are those of kernels.cu,
// compiled with this file.
#pragma once
#include <sys/mman.h>
#include <dlfcn.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

struct Dim { unsigned x, y, z; };
static thread_local Dim blockIdx, threadIdx, blockDim;
#define __global__
static int atomicAdd(int *at, int value) { return std::exchange(*at, *at + value); }
#include "kernels.cu"
#include "egl_image.h"

enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_IMAGE = 200,
       INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600, ILLEGAL_ADDRESS = 700,
       CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901 };
static const std::map<int, std::pair<const char *, const char *>> ERRORS = {
    {OK, {"CUDA_SUCCESS", "no error"}},
    {INVALID_VALUE, {"CUDA_ERROR_INVALID_VALUE", "invalid argument"}},
    {OUT_OF_MEMORY, {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}},
    {NO_DEVICE, {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"}},
    {INVALID_DEVICE, {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"}},
    {INVALID_IMAGE, {"CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"}},
    {INVALID_CONTEXT, {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"}},
    {INVALID_HANDLE, {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"}},
    {NOT_FOUND, {"CUDA_ERROR_NOT_FOUND", "named symbol not found"}},
    {NOT_READY, {"CUDA_ERROR_NOT_READY", "device not ready"}},
    {ILLEGAL_ADDRESS, {"CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"}},
    {CAPTURE_UNSUPPORTED, {"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "not permitted when stream is capturing"}},
    {CAPTURE_INVALIDATED, {"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "a previous error during capture"}}};

using Work = std::function<int()>;  // returns a CUresult
struct Stream { std::vector<Work> queue; bool capturing = false, invalidated = false; };
struct Event { Stream *stream = nullptr; bool recorded = false; std::chrono::steady_clock::time_point when; };
struct Graph { std::vector<Work> work; };
struct Module { std::string image; };
struct Kernel {
    const char *name;
    std::vector<size_t> sizes, alignments;  // of the parameters
    std::vector<bool> pointers;
    std::function<void(void **)> call;
};
struct Function { const Kernel *kernel; Module *module; };
struct Block { size_t size, mapped; char *start; };

static std::recursive_mutex lock;
#define LOCKED std::lock_guard<std::recursive_mutex> locked(lock)
static std::map<uintptr_t, Block> device_memory, pinned_memory;
static std::set<Stream *> streams;
static std::set<Event *> events;
static std::set<Graph *> graphs, executables;
static std::set<Module *> modules;
static std::set<EglImage *> surfaces;  // registered
static std::map<std::pair<Module *, std::string>, std::unique_ptr<Function>> functions;
static Stream legacy;  // the default stream: handles 0, 1 and 2
static int retained = 0, sticky = OK, device_count = 1, driver_version = 13000;
static size_t total_memory = size_t(1) << 30, used_memory = 0;
static bool ready = false;
static thread_local std::vector<void *> stack;
static char primary;  // its address is the context handle

static const Block *block_of(const std::map<uintptr_t, Block> &memory, uintptr_t address, size_t size) {
    auto next = memory.upper_bound(address);
    if (next == memory.begin()) return nullptr;
    auto found = std::prev(next);
    return address + size <= found->first + found->second.size ? &found->second : nullptr;
}
static bool is_device_memory(uintptr_t address, size_t size) {
    return block_of(device_memory, address, size) != nullptr;
}
static bool is_pinned(const void *address, size_t size) {
    return block_of(pinned_memory, (uintptr_t)address, size) != nullptr;
}
static bool capturing() { for (Stream *s : streams) if (s->capturing) return true; return false; }

static Stream *stream_of(void *handle) {
    if ((uintptr_t)handle <= 2) return &legacy;
    return streams.count((Stream *)handle) ? (Stream *)handle : nullptr;
}
static int drain(Stream *stream) {  // run all queued work
    if (stream->capturing) return sticky;
    std::vector<Work> work;
    work.swap(stream->queue);
    for (auto &item : work) if (int result = item(); result && !sticky) sticky = result;
    return sticky;
}
static int drain_all() { for (Stream *s : streams) drain(s); return drain(&legacy); }
static int enqueue(void *handle, Work work) {
    Stream *stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    if (sticky) return sticky;
    stream->queue.push_back(std::move(work));
    return OK;
}
static int context_needed() {
    return stack.empty() || stack.back() != &primary || !retained ? INVALID_CONTEXT : sticky;
}
#define NEEDS_CONTEXT LOCKED; if (int result = context_needed()) return result
static bool invalidate_captures() {  // by a call that cannot be captured
    for (Stream *s : streams) s->invalidated |= s->capturing;
    return capturing();
}
#define NOT_DURING_CAPTURE if (invalidate_captures()) return CAPTURE_UNSUPPORTED

static int map_memory(std::map<uintptr_t, Block> &memory, uintptr_t *out, size_t size) {
    if (!size) return INVALID_VALUE;
    size_t mapped = (size + 4095) / 4096 * 4096;
    char *start = (char *)mmap(nullptr, mapped + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == (char *)MAP_FAILED) return OUT_OF_MEMORY;
    mprotect(start + mapped, 4096, PROT_NONE);  // guard page after the last byte
    memset(start, 0xAB, mapped);                // pattern of uninitialized bytes, and of those before the first
    *out = (uintptr_t)(start + mapped - size);
    memory[*out] = {size, mapped, start};
    return OK;
}
static int unmap_memory(std::map<uintptr_t, Block> &memory, uintptr_t address) {
    auto found = memory.find(address);
    if (found == memory.end()) return INVALID_VALUE;
    Block block = found->second;
    for (char *p = block.start; p < (char *)address; ++p) if (*p != (char)0xAB && !sticky) sticky = ILLEGAL_ADDRESS;
    munmap(block.start, block.mapped + 4096);
    memory.erase(found);
    return OK;
}

template <class... A> static Kernel kernel(const char *name, void (*f)(A...)) {
    auto call = [f](void **values) {
        [&]<size_t... I>(std::index_sequence<I...>) { f(*(A *)values[I]...); }(std::index_sequence_for<A...>{});
    };
    return {name, {sizeof(A)...}, {alignof(A)...}, {std::is_pointer<A>::value...}, call};
}
static const std::vector<Kernel> KERNELS = {
    kernel("gather_bgr", gather_bgr), kernel("gather_nv12", gather_nv12), kernel("enlarge", enlarge),
    kernel("paste", paste), kernel("paste_many", paste_many), kernel("fill_cells", fill_cells), kernel("append_candidates", append_candidates)};

static int run(const Kernel &kernel, Dim grid, Dim block, const std::vector<std::vector<char>> &values) {
    std::vector<void *> at;
    for (size_t i = 0; i < values.size(); ++i) {
        at.push_back((void *)values[i].data());
        if (kernel.pointers[i] && !is_device_memory(*(uintptr_t *)at[i], 1)) return ILLEGAL_ADDRESS;
    }
    blockDim = block;
    for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x)
                for (threadIdx.z = 0; threadIdx.z < block.z; ++threadIdx.z)
                    for (threadIdx.y = 0; threadIdx.y < block.y; ++threadIdx.y)
                        for (threadIdx.x = 0; threadIdx.x < block.x; ++threadIdx.x) kernel.call(at.data());
    return OK;
}
