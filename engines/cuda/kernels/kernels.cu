// The kernels: one thread a pixel. Their arithmetic is in pixels.h.
#include "pixels.h"

#define THREAD_X (int)(blockIdx.x * blockDim.x + threadIdx.x)
#define THREAD_Y (int)(blockIdx.y * blockDim.y + threadIdx.y)

// Windows of one side out of a frame. windows (n, 2) left, top; out (n, side, side, 3). Blocks: z counts the windows.
extern "C" __global__ void gather_bgr(const byte *frame, int pitch, int width, int height, const int *windows,
                                      byte *out, int side) {
    int x = THREAD_X, y = THREAD_Y, n = (int)blockIdx.z;
    if (x >= side || y >= side) return;
    const byte *p = pixel_at(Picture{frame, pitch, width, height}, windows[2 * n] + x, windows[2 * n + 1] + y);
    byte *bgr = out + 3 * (((long long)n * side + y) * side + x);
    for (int c = 0; c < 3; ++c) bgr[c] = p[c];
}

// The same out of an NV12 frame.
extern "C" __global__ void gather_nv12(const byte *luma, const byte *chroma, int luma_pitch, int chroma_pitch,
                                       int width, int height, float kr, float kb, const int *windows, byte *out,
                                       int side) {
    int x = THREAD_X, y = THREAD_Y, n = (int)blockIdx.z;
    if (x >= side || y >= side) return;
    Planes planes = {luma, chroma, luma_pitch, chroma_pitch, width, height, kr, kb};
    byte *bgr = out + 3 * (((long long)n * side + y) * side + x);
    bgr_of_nv12(planes, windows[2 * n] + x, windows[2 * n + 1] + y, bgr);
}

// A frame, scale times as large. out (scale·height, scale·width, 3).
extern "C" __global__ void enlarge(const byte *frame, int pitch, int width, int height, byte *out, int scale) {
    int x = THREAD_X, y = THREAD_Y;
    if (x >= scale * width || y >= scale * height) return;
    enlarged(Picture{frame, pitch, width, height}, scale, x, y, out + 3 * ((long long)y * scale * width + x));
}

// What shrunken faces lack of the camera's pixels. lr (n, side, side, 3), sr (n, scale·side, scale·side, 3);
// out like lr, in float. Blocks: z counts the faces.
extern "C" __global__ void project_down(const byte *lr, const byte *sr, float *out, int side, int scale) {
    int x = THREAD_X, y = THREAD_Y, n = (int)blockIdx.z;
    if (x >= side || y >= side) return;
    long long start = 3LL * n * side * side;
    residual(lr + start, sr + start * scale * scale, side, scale, x, y, out + start + 3 * (y * side + x));
}

// Adds that, enlarged, to the faces.
extern "C" __global__ void project_up(const float *residuals, byte *sr, int side, int scale) {
    int x = THREAD_X, y = THREAD_Y, n = (int)blockIdx.z, large = side * scale;
    if (x >= large || y >= large) return;
    long long start = 3LL * n * side * side;
    projected(residuals + start, side, scale, x, y, sr + start * scale * scale + 3 * (y * large + x));
}

// All faces into the enlarged frame, (outscale·height, outscale·width, 3), in place. Blocks: z counts the faces.
// Where several cover a pixel, the first of them blends them all, so no two threads write the same one.
extern "C" __global__ void paste(const Face *faces, int count, byte *background, int width, int height, int scale,
                                 int outscale, float feather_part) {
    int n = (int)blockIdx.z;
    const Face &face = faces[n];
    if (THREAD_X >= outscale * face.side || THREAD_Y >= outscale * face.side) return;
    int x = outscale * face.x + THREAD_X, y = outscale * face.y + THREAD_Y;
    if (x < 0 || y < 0 || x >= outscale * width || y >= outscale * height) return;
    for (int m = 0; m < n; ++m)
        if (covers(faces[m], outscale, x, y)) return;
    byte *bgr = background + 3 * ((long long)y * outscale * width + x);
    pasted(faces, count, n, scale, outscale, feather_part, x, y, bgr);
}
