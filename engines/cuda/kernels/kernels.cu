// CUDA kernels, one thread per pixel. The per-pixel functions are in pixels.h.
#include "pixels.h"

#define THREAD_X (int)(blockIdx.x * blockDim.x + threadIdx.x)
#define THREAD_Y (int)(blockIdx.y * blockDim.y + threadIdx.y)

// Windows of one size. out (n, rows, columns, 3). blockIdx.z: window, at most MAX_WINDOWS.
extern "C" __global__ void gather_bgr(const byte *frame, int pitch, int width, int height, Corners corners, byte *out,
                                      int columns, int rows) {
    int x = THREAD_X, y = THREAD_Y, n = (int)blockIdx.z;
    if (x >= columns || y >= rows) return;
    const byte *p = pixel_at(Image{frame, pitch, width, height}, corners.xy[n][0] + x, corners.xy[n][1] + y);
    byte *bgr = out + 3 * (((long long)n * rows + y) * columns + x);
    for (int c = 0; c < 3; ++c) bgr[c] = p[c];
}

// The same for an NV12 frame.
extern "C" __global__ void gather_nv12(const byte *luma, const byte *chroma, int luma_pitch, int chroma_pitch,
                                       int width, int height, float kr, float kb, Corners corners, byte *out,
                                       int columns, int rows) {
    int x = THREAD_X, y = THREAD_Y, n = (int)blockIdx.z;
    if (x >= columns || y >= rows) return;
    Planes planes = {luma, chroma, luma_pitch, chroma_pitch, width, height, kr, kb};
    byte *bgr = out + 3 * (((long long)n * rows + y) * columns + x);
    bgr_from_nv12(planes, corners.xy[n][0] + x, corners.xy[n][1] + y, bgr);
}

// Detector input (rows, columns, 3): cells of the frame, and grey around them if `padding` is 0 or more.
extern "C" __global__ void fill_cells(const byte *frame, int pitch, int width, int height, Cells cells, byte *out,
                                      int columns, int rows, int padding) {
    int x = THREAD_X, y = THREAD_Y;
    if (x >= columns || y >= rows) return;
    byte *bgr = out + 3 * ((long long)y * columns + x);
    for (int n = 0; n < cells.count; ++n) {
        const Cell &cell = cells.cells[n];
        int u = x - cell.left, v = y - cell.top;
        if (u >= 0 && v >= 0 && u < cell.out_width && v < cell.out_height)
            return resize_cell(Image{frame, pitch, width, height}, cell, u, v, bgr);
    }
    if (padding >= 0) bgr[0] = bgr[1] = bgr[2] = (byte)padding;
}

// Append the rows of a detector's output maps (count, 15) whose score, the first value, is at least `min_score`.
// `found` counts them; their order is arbitrary, `first` + row names them.
extern "C" __global__ void append_candidates(const float *maps, int count, float min_score, int first, int *found,
                                             Candidate *candidates) {
    int n = (int)((blockIdx.x * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x);
    if (n >= count || !(maps[15LL * n] >= min_score)) return;
    Candidate &candidate = candidates[atomicAdd(found, 1)];
    candidate.cell = first + n;
    for (int i = 0; i < 15; ++i) candidate.values[i] = maps[15LL * n + i];
}

// Enlarge a frame. out (scale·height, scale·width, 3).
extern "C" __global__ void enlarge(const byte *frame, int pitch, int width, int height, byte *out, int scale) {
    int x = THREAD_X, y = THREAD_Y;
    if (x >= scale * width || y >= scale * height) return;
    resize_bicubic(Image{frame, pitch, width, height}, scale, x, y, out + 3 * ((long long)y * scale * width + x));
}

// Paste all faces into the enlarged frame (outscale·height, outscale·width, 3), in place. blockIdx.z: face.
// Where faces overlap, the thread of the first face blends all of them, so each pixel has one writer.
PIXEL void paste_faces(const Face *faces, int count, byte *background, int width, int height, int scale, int outscale,
                       float feather_fraction, int n, int u, int v) {
    const Face &face = faces[n];
    if (u >= outscale * face.side || v >= outscale * face.side) return;
    int x = outscale * face.x + u, y = outscale * face.y + v;
    if (x < 0 || y < 0 || x >= outscale * width || y >= outscale * height) return;
    for (int m = 0; m < n; ++m)
        if (covers(faces[m], outscale, x, y)) return;
    byte *bgr = background + 3 * ((long long)y * outscale * width + x);
    blend_faces(faces, count, n, scale, outscale, feather_fraction, x, y, bgr);
}

extern "C" __global__ void paste(Faces faces, int count, byte *background, int width, int height, int scale,
                                 int outscale, float feather_fraction) {
    paste_faces(faces.faces, count, background, width, height, scale, outscale, feather_fraction, (int)blockIdx.z,
                THREAD_X, THREAD_Y);
}

// The same for more faces than arguments may hold.
extern "C" __global__ void paste_many(const Face *faces, int count, byte *background, int width, int height, int scale,
                                      int outscale, float feather_fraction) {
    paste_faces(faces, count, background, width, height, scale, outscale, feather_fraction, (int)blockIdx.z, THREAD_X,
                THREAD_Y);
}
