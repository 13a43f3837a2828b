// An emulated libnvbufsurface.so.1.0.0: EGL images of a Jetson's surfaces. Layouts as in NVIDIA's nvbufsurface.h.
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "egl_image.h"
#define MAX_PLANES 4
#define PADDING 4

typedef struct {
    uint32_t num_planes, width[MAX_PLANES], height[MAX_PLANES], pitch[MAX_PLANES], offset[MAX_PLANES], psize[MAX_PLANES],
        bytesPerPix[MAX_PLANES];
    void *_reserved[PADDING * MAX_PLANES];
} NvBufSurfacePlaneParams;
typedef struct {
    void *addr[MAX_PLANES];
    void *eglImage;
    void *_reserved[PADDING];
} NvBufSurfaceMappedAddr;
typedef struct {
    uint32_t width, height, pitch;
    int colorFormat, layout;
    uint64_t bufferDesc;
    uint32_t dataSize;
    void *dataPtr;
    NvBufSurfacePlaneParams planeParams;
    NvBufSurfaceMappedAddr mappedAddr;
    void *paramex;
    void *_reserved[PADDING - 1];
} NvBufSurfaceParams;
typedef struct {
    uint32_t gpuId, batchSize, numFilled;
    bool isContiguous;
    int memType;
    NvBufSurfaceParams *surfaceList;
    void *_reserved[PADDING];
} NvBufSurface;

static long mapped;
static struct EglImage hardware[2];  // what the frames of the batch hold; their dataPtr is not valid, as on a Jetson

long emulatedMapped(void) { return mapped; }
void emulatedFrame(int index, struct EglImage image) { hardware[index] = image; }
NvBufSurface *emulatedBatch(int memory_type, int color_format) {
    NvBufSurface *batch = calloc(1, sizeof *batch);
    *batch = (NvBufSurface){.batchSize = 4, .numFilled = 2, .memType = memory_type};
    batch->surfaceList = calloc(4, sizeof *batch->surfaceList);
    for (int n = 0; n < 2; n++) batch->surfaceList[n].colorFormat = color_format;
    return batch;
}
int emulatedSize(void) { return sizeof(NvBufSurface); }

int NvBufSurfaceMapEglImage(NvBufSurface *batch, int index) {
    if (!hardware[index].pixels) return -1;
    batch->surfaceList[index].mappedAddr.eglImage = &hardware[index];
    mapped++;
    return 0;
}
int NvBufSurfaceUnMapEglImage(NvBufSurface *batch, int index) {
    if (!batch->surfaceList[index].mappedAddr.eglImage) return -1;
    batch->surfaceList[index].mappedAddr.eglImage = NULL;
    mapped--;
    return 0;
}
