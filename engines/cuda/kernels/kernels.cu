// CUDA kernels, one thread per pixel. The per-pixel functions are in pixels.h.
#include "pixels.h"

#define THREAD_X (int)(blockIdx.x * blockDim.x + threadIdx.x)
#define THREAD_Y (int)(blockIdx.y * blockDim.y + threadIdx.y)

// Crop windows of one side. windows (n, 2): left, top; out (n, side, side, 3). blockIdx.z: window.
extern "C" __global__ void gather_bgr(const byte *frame, int pitch, int width, int height, const int *windows,
                                      byte *out, int side) {
    int x = THREAD_X, y = THREAD_Y, n = (int)blockIdx.z;
    if (x >= side || y >= side) return;
    const byte *p = pixel_at(Image{frame, pitch, width, height}, windows[2 * n] + x, windows[2 * n + 1] + y);
    byte *bgr = out + 3 * (((long long)n * side + y) * side + x);
    for (int c = 0; c < 3; ++c) bgr[c] = p[c];
}

// The same for an NV12 frame.
extern "C" __global__ void gather_nv12(const byte *luma, const byte *chroma, int luma_pitch, int chroma_pitch,
                                       int width, int height, float kr, float kb, const int *windows, byte *out,
                                       int side) {
    int x = THREAD_X, y = THREAD_Y, n = (int)blockIdx.z;
    if (x >= side || y >= side) return;
    Planes planes = {luma, chroma, luma_pitch, chroma_pitch, width, height, kr, kb};
    byte *bgr = out + 3 * (((long long)n * side + y) * side + x);
    bgr_from_nv12(planes, windows[2 * n] + x, windows[2 * n + 1] + y, bgr);
}

// Enlarge a frame. out (scale·height, scale·width, 3).
extern "C" __global__ void enlarge(const byte *frame, int pitch, int width, int height, byte *out, int scale) {
    int x = THREAD_X, y = THREAD_Y;
    if (x >= scale * width || y >= scale * height) return;
    resize_bicubic(Image{frame, pitch, width, height}, scale, x, y, out + 3 * ((long long)y * scale * width + x));
}

// Paste all faces into the enlarged frame (outscale·height, outscale·width, 3), in place. blockIdx.z: face.
// Where faces overlap, the thread of the first face blends all of them, so each pixel has one writer.
extern "C" __global__ void paste(const Face *faces, int count, byte *background, int width, int height, int scale,
                                 int outscale, float feather_fraction) {
    int n = (int)blockIdx.z;
    const Face &face = faces[n];
    if (THREAD_X >= outscale * face.side || THREAD_Y >= outscale * face.side) return;
    int x = outscale * face.x + THREAD_X, y = outscale * face.y + THREAD_Y;
    if (x < 0 || y < 0 || x >= outscale * width || y >= outscale * height) return;
    for (int m = 0; m < n; ++m)
        if (covers(faces[m], outscale, x, y)) return;
    byte *bgr = background + 3 * ((long long)y * outscale * width + x);
    blend_faces(faces, count, n, scale, outscale, feather_fraction, x, y, bgr);
}
