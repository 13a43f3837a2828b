// An emulated libcuda.so.1: the driver API on the CPU, for the real bindings to call. Modules are cubins of the real
// compiler for SM 8.7, and must contain the kernels that are looked up.
#include "emulated_gpu.h"

extern "C" {
#pragma GCC visibility push(default)
// ---- For the tests: counts of unreleased objects, and the configuration of the machine ----
void emulatedLeakCounter(long *out) {
    LOCKED;
    long held[] = {(long)device_memory.size(), (long)pinned_memory.size(), (long)streams.size(), (long)events.size(),
                   (long)(graphs.size() + executables.size()), (long)modules.size(), retained, (long)stack.size(),
                   (long)surfaces.size()};
    memcpy(out, held, sizeof held);
}
void emulatedConfigure(int devices, size_t memory, int driver) {
    LOCKED;
    device_count = devices;
    total_memory = memory;
    driver_version = driver;
}

// ---- The driver ----
int cuInit(unsigned) { LOCKED; ready = true; return device_count ? OK : NO_DEVICE; }
int cuDriverGetVersion(int *out) { *out = driver_version; return OK; }
int cuGetExportTable(const void **out, const void *) { *out = nullptr; return NOT_FOUND; }  // called by NVRTC
int cuGetErrorName(int error, const char **out) {
    return ERRORS.count(error) ? (*out = ERRORS.at(error).first, OK) : INVALID_VALUE;
}
int cuGetErrorString(int error, const char **out) {
    return ERRORS.count(error) ? (*out = ERRORS.at(error).second, OK) : INVALID_VALUE;
}
int cuDeviceGetCount(int *out) { *out = device_count; return OK; }
int cuDeviceGet(int *out, int index) {
    return index < 0 || index >= device_count ? INVALID_DEVICE : (*out = index, OK);
}
int cuDeviceGetName(char *out, int size, int) { snprintf(out, size, "Emulated GPU"); return OK; }
int cuDeviceTotalMem_v2(size_t *out, int) { *out = total_memory; return OK; }
int cuDeviceGetAttribute(int *out, int which, int) {
    *out = which == 75 ? 8 : which == 76 ? 7 : which == 16 ? 14 : 0;  // compute capability, multiprocessors
    return OK;
}
int cuDeviceComputeCapability(int *major, int *minor, int) { *major = 8; *minor = 7; return OK; }

int cuDevicePrimaryCtxRetain(void **out, int) { LOCKED; ++retained; *out = &primary; return OK; }
int cuDevicePrimaryCtxRelease_v2(int) {
    LOCKED;
    if (!retained) return INVALID_CONTEXT;
    if (--retained == 0) drain_all();
    return OK;
}
int cuCtxPushCurrent_v2(void *context) {
    return context != &primary || !retained ? INVALID_CONTEXT : (stack.push_back(context), OK);
}
int cuCtxPopCurrent_v2(void **out) {
    if (stack.empty()) return INVALID_CONTEXT;
    if (out) *out = stack.back();
    stack.pop_back();
    return OK;
}
int cuCtxGetCurrent(void **out) { *out = stack.empty() ? nullptr : stack.back(); return OK; }
int cuCtxGetDevice(int *out) { LOCKED; *out = 0; return context_needed(); }
int cuCtxSynchronize() { NEEDS_CONTEXT; NOT_DURING_CAPTURE; return drain_all(); }

int cuMemAlloc_v2(uintptr_t *out, size_t size) {
    NEEDS_CONTEXT;
    NOT_DURING_CAPTURE;
    if (used_memory + size > total_memory) return OUT_OF_MEMORY;
    if (int result = map_memory(device_memory, out, size)) return result;
    used_memory += size;
    return OK;
}
int cuMemFree_v2(uintptr_t address) {
    NEEDS_CONTEXT;
    drain_all();
    if (!device_memory.count(address)) return INVALID_VALUE;
    used_memory -= device_memory[address].size;
    return unmap_memory(device_memory, address);
}
int cuMemHostAlloc(void **out, size_t size, unsigned) {
    NEEDS_CONTEXT;
    NOT_DURING_CAPTURE;
    return map_memory(pinned_memory, (uintptr_t *)out, size);
}
int cuMemFreeHost(void *address) {
    NEEDS_CONTEXT;
    drain_all();
    return unmap_memory(pinned_memory, (uintptr_t)address);
}

int cuMemcpyHtoDAsync_v2(uintptr_t target, const void *source, size_t size, void *stream) {
    NEEDS_CONTEXT;
    if (!is_device_memory(target, size)) return INVALID_VALUE;
    if (is_pinned(source, size)) return enqueue(stream, [=] { memcpy((void *)target, source, size); return OK; });
    Stream *s = stream_of(stream);
    if (s && s->capturing) { s->invalidated = true; return CAPTURE_UNSUPPORTED; }
    // Pageable memory: copied before the call returns.
    auto staged = std::make_shared<std::vector<char>>((const char *)source, (const char *)source + size);
    return enqueue(stream, [=] { memcpy((void *)target, staged->data(), size); return OK; });
}
int cuMemcpyDtoHAsync_v2(void *target, uintptr_t source, size_t size, void *stream) {
    NEEDS_CONTEXT;
    if (!is_device_memory(source, size)) return INVALID_VALUE;
    Stream *s = stream_of(stream);
    if (!is_pinned(target, size) && s && s->capturing) { s->invalidated = true; return CAPTURE_UNSUPPORTED; }
    int result = enqueue(stream, [=] { memcpy(target, (void *)source, size); return OK; });
    return result || is_pinned(target, size) ? result : drain(s);  // pageable memory: synchronous
}
int cuMemcpyDtoDAsync_v2(uintptr_t target, uintptr_t source, size_t size, void *stream) {
    NEEDS_CONTEXT;
    if (!is_device_memory(target, size) || !is_device_memory(source, size)) return INVALID_VALUE;
    return enqueue(stream, [=] { memmove((void *)target, (void *)source, size); return OK; });
}
int cuMemsetD8Async(uintptr_t target, unsigned char value, size_t size, void *stream) {
    NEEDS_CONTEXT;
    if (!is_device_memory(target, size)) return INVALID_VALUE;
    return enqueue(stream, [=] { memset((void *)target, value, size); return OK; });
}

// Surfaces of a Jetson's video hardware: CUeglFrame of cudaEGL.h.
struct EglFrame { void *planes[3]; unsigned width, height, depth, pitch, plane_count, channels; int type, color, format; };
int cuGraphicsEGLRegisterImage(void **out, EglImage *image, unsigned) {
    NEEDS_CONTEXT;
    if (!image || !is_device_memory((uintptr_t)image->pixels, image->pitch * image->height)) return INVALID_VALUE;
    surfaces.insert(image);
    *out = image;
    return OK;
}
int cuGraphicsResourceGetMappedEglFrame(EglFrame *out, void *resource, unsigned, unsigned) {
    NEEDS_CONTEXT;
    EglImage *image = (EglImage *)resource;
    if (!surfaces.count(image)) return INVALID_HANDLE;
    *out = {{image->pixels}, image->width, image->height, 1, image->pitch, image->planes, image->channels,
            image->frame_type, 0, 1};
    return OK;
}
int cuGraphicsUnregisterResource(void *resource) {
    NEEDS_CONTEXT;
    return surfaces.erase((EglImage *)resource) ? OK : INVALID_HANDLE;
}

int cuStreamCreate(void **out, unsigned) { NEEDS_CONTEXT; streams.insert((Stream *)(*out = new Stream)); return OK; }
int cuStreamSynchronize(void *handle) {
    NEEDS_CONTEXT;
    Stream *stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream->capturing) { stream->invalidated = true; return CAPTURE_UNSUPPORTED; }
    return drain(stream);
}
int cuStreamDestroy_v2(void *handle) {
    NEEDS_CONTEXT;
    if (!streams.count((Stream *)handle)) return INVALID_HANDLE;
    drain((Stream *)handle);
    streams.erase((Stream *)handle);
    delete (Stream *)handle;
    return OK;
}
int cuEventCreate(void **out, unsigned) { NEEDS_CONTEXT; events.insert((Event *)(*out = new Event)); return OK; }
int cuEventRecord(void *handle, void *stream) {
    NEEDS_CONTEXT;
    Event *event = (Event *)handle;
    if (!events.count(event) || !stream_of(stream)) return INVALID_HANDLE;
    event->stream = stream_of(stream);
    event->recorded = false;
    return enqueue(stream, [=] {
        if (events.count(event)) event->recorded = true, event->when = std::chrono::steady_clock::now();
        return OK;
    });
}
int cuStreamWaitEvent(void *stream, void *handle, unsigned) {
    NEEDS_CONTEXT;
    if (!events.count((Event *)handle)) return INVALID_HANDLE;
    Stream *first = ((Event *)handle)->stream;
    return first ? enqueue(stream, [=] { return first == &legacy || streams.count(first) ? drain(first) : OK; }) : OK;
}
int cuEventSynchronize(void *handle) {
    NEEDS_CONTEXT;
    Event *event = (Event *)handle;
    if (!events.count(event)) return INVALID_HANDLE;
    bool pending = event->stream && !event->recorded;
    return pending && (event->stream == &legacy || streams.count(event->stream)) ? drain(event->stream) : OK;
}
int cuEventQuery(void *handle) {
    NEEDS_CONTEXT;
    if (!events.count((Event *)handle)) return INVALID_HANDLE;
    Stream *stream = ((Event *)handle)->stream;
    return !stream || ((Event *)handle)->recorded ? OK : NOT_READY;
}
int cuEventElapsedTime_v2(float *out, void *start, void *end) {
    NEEDS_CONTEXT;
    Event *first = (Event *)start, *then = (Event *)end;
    if (!events.count(first) || !events.count(then)) return INVALID_HANDLE;
    if (!first->recorded || !then->recorded) return NOT_READY;
    *out = std::chrono::duration<float, std::milli>(then->when - first->when).count();
    return OK;
}
int cuEventElapsedTime(float *out, void *start, void *end) { return cuEventElapsedTime_v2(out, start, end); }
int cuEventDestroy_v2(void *handle) {
    NEEDS_CONTEXT;
    return events.erase((Event *)handle) ? (delete (Event *)handle, OK) : INVALID_HANDLE;
}

int cuStreamBeginCapture_v2(void *handle, int) {
    NEEDS_CONTEXT;
    Stream *stream = stream_of(handle);
    if (!stream || stream == &legacy || stream->capturing) return INVALID_VALUE;
    drain(stream);
    stream->capturing = true;
    stream->invalidated = false;
    return OK;
}
int cuStreamEndCapture(void *handle, void **out) {
    NEEDS_CONTEXT;
    Stream *stream = stream_of(handle);
    if (!stream || !stream->capturing) return INVALID_VALUE;
    stream->capturing = false;
    Graph *graph = new Graph;
    graph->work.swap(stream->queue);
    *out = nullptr;
    if (stream->invalidated) return delete graph, CAPTURE_INVALIDATED;
    graphs.insert((Graph *)(*out = graph));
    return OK;
}
int cuGraphInstantiateWithFlags(void **out, void *graph, unsigned long long) {
    NEEDS_CONTEXT;
    if (!graphs.count((Graph *)graph)) return INVALID_VALUE;
    executables.insert((Graph *)(*out = new Graph(*(Graph *)graph)));
    return OK;
}
int cuGraphDestroy(void *graph) {
    LOCKED;
    return graphs.erase((Graph *)graph) ? (delete (Graph *)graph, OK) : INVALID_VALUE;
}
int cuGraphExecDestroy(void *graph) {
    LOCKED;
    drain_all();
    return executables.erase((Graph *)graph) ? (delete (Graph *)graph, OK) : INVALID_VALUE;
}
int cuGraphLaunch(void *graph, void *stream) {
    NEEDS_CONTEXT;
    if (!executables.count((Graph *)graph)) return INVALID_VALUE;
    for (const Work &work : ((Graph *)graph)->work) if (int result = enqueue(stream, work)) return result;
    return OK;
}

int cuModuleLoadDataEx(void **out, const void *image, unsigned, void *, void *) {
    NEEDS_CONTEXT;
    const unsigned char *elf = (const unsigned char *)image;
    if (memcmp(elf, "\177ELF\2\1", 6) || (elf[18] | elf[19] << 8) != 190) return INVALID_IMAGE;  // EM_CUDA
    uint64_t sections = *(uint64_t *)(elf + 40), programs = *(uint64_t *)(elf + 32);
    uint64_t end = std::max(sections + *(uint16_t *)(elf + 58) * *(uint16_t *)(elf + 60),
                            programs + *(uint16_t *)(elf + 54) * *(uint16_t *)(elf + 56));
    modules.insert((Module *)(*out = new Module{std::string((const char *)image, end)}));
    return OK;
}
int cuModuleLoadData(void **out, const void *image) { return cuModuleLoadDataEx(out, image, 0, nullptr, nullptr); }
int cuModuleUnload(void *module) {
    NEEDS_CONTEXT;
    drain_all();
    return modules.erase((Module *)module) ? (delete (Module *)module, OK) : INVALID_HANDLE;
}
int cuModuleGetFunction(void **out, void *handle, const char *name) {
    NEEDS_CONTEXT;
    Module *module = (Module *)handle;
    if (!modules.count(module)) return INVALID_HANDLE;
    std::string symbol = std::string(1, '\0') + name + '\0';
    for (const Kernel &k : KERNELS)
        if (k.name == std::string(name) && module->image.find(symbol) != std::string::npos) {
            auto &function = functions[{module, name}];
            function = std::make_unique<Function>(Function{&k, module});
            *out = function.get();
            return OK;
        }
    return NOT_FOUND;
}
int cuFuncSetBlockShape(void *, int x, int y, int z) { return x > 0 && y > 0 && z > 0 ? OK : INVALID_VALUE; }
int cuLaunchKernel(void *handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned,
                   void *stream, void **params, void **extra) {
    NEEDS_CONTEXT;
    Function *function = (Function *)handle;
    if (!function || !modules.count(function->module)) return INVALID_HANDLE;
    if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || !bx || !by || !bz || bx * by * bz > 1024) return INVALID_VALUE;
    const Kernel &kernel = *function->kernel;
    std::vector<std::vector<char>> values;
    size_t at = 0;
    for (size_t i = 0; i < kernel.sizes.size(); ++i) {
        size_t size = kernel.sizes[i], align = kernel.alignments[i];
        at = (at + align - 1) / align * align;  // offset in the packed form: {1, buffer, 2, its size, 0}
        const char *from = params ? (const char *)params[i] : (const char *)extra[1] + at;
        if (!params && at + size > *(size_t *)extra[3]) return INVALID_VALUE;
        values.emplace_back(from, from + size);
        at += size;
    }
    return enqueue(stream, [=] { return run(kernel, {gx, gy, gz}, {bx, by, bz}, values); });
}

int cuGetProcAddress_v2(const char *name, void **out, int, uint64_t, int *status) {
    *out = nullptr;
    for (const char *suffix : {"_v2", "", "WithFlags"})
        if (!*out) *out = dlsym(RTLD_DEFAULT, (std::string(name) + suffix).c_str());
    if (status) *status = *out ? 0 : 1;
    return *out ? OK : NOT_FOUND;
}
int cuGetProcAddress(const char *name, void **out, int version, uint64_t flags) {
    return cuGetProcAddress_v2(name, out, version, flags, nullptr);
}
}
