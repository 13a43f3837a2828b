// The arithmetic of one pixel, in plain C++17, so that the same lines run under nvcc, NVRTC and a host's compiler.
// Pictures are rows of 8-bit pixels, three bytes each (blue, green, red), `pitch` bytes from row to row.
// Whoever compiles it does not fuse products into sums (--fmad=false, -ffp-contract=off): it rounds alike everywhere.
#ifndef FACESR_PIXELS_H
#define FACESR_PIXELS_H

#ifdef __CUDACC__
#define PIXEL __device__ __forceinline__
#else
#include <cmath>
#define PIXEL static inline
#endif

typedef unsigned char byte;

struct Picture {
    const byte *rows;
    int pitch, width, height;
};

struct Face {            // one pasted face; mirrors FACE of gpu_stages.py
    const byte *pixels;  // (scale·side, scale·side, 3), rows without gaps
    int x, y, side;      // its window in the frame
    int unused;
};

PIXEL int clamped(int value, int least, int most) { return value < least ? least : value > most ? most : value; }

PIXEL byte to_byte(float value) { return (byte)rintf(fminf(fmaxf(value, 0.0f), 255.0f)); }

PIXEL const byte *pixel_at(const Picture &picture, int x, int y) {  // beyond the edge the edge is repeated
    x = clamped(x, 0, picture.width - 1);
    y = clamped(y, 0, picture.height - 1);
    return picture.rows + (long long)y * picture.pitch + 3 * x;
}

// ---- NV12: a plane of luma, a plane of chroma pairs at half the resolution, video range ----

struct Planes {
    const byte *luma, *chroma;
    int luma_pitch, chroma_pitch, width, height;
    float kr, kb;  // share of red and of blue in luma: 0.299 and 0.114 in BT.601, 0.2126 and 0.0722 in BT.709
};

// Chroma is sited as in MPEG-2: on the even columns of luma, halfway between two rows of it.
PIXEL float chroma_at(const Planes &planes, int x, int y, int which) {
    int last_x = (planes.width - 1) / 2, last_y = (planes.height - 1) / 2;
    int left = x / 2, right = clamped(left + x % 2, 0, last_x);
    int near = y / 2, far = clamped(y % 2 ? near + 1 : near - 1, 0, last_y);
    const byte *a = planes.chroma + (long long)near * planes.chroma_pitch + which;
    const byte *b = planes.chroma + (long long)far * planes.chroma_pitch + which;
    return 0.125f * (float)(3 * (a[2 * left] + a[2 * right]) + b[2 * left] + b[2 * right]) - 128.0f;
}

PIXEL void bgr_of_nv12(const Planes &planes, int x, int y, byte *bgr) {
    x = clamped(x, 0, planes.width - 1);
    y = clamped(y, 0, planes.height - 1);
    float light = (float)(planes.luma[(long long)y * planes.luma_pitch + x] - 16) * (255.0f / 219.0f);
    float u = chroma_at(planes, x, y, 0) * (255.0f / 112.0f), v = chroma_at(planes, x, y, 1) * (255.0f / 112.0f);
    float kg = 1.0f - planes.kr - planes.kb;
    float blue = (1.0f - planes.kb) * u, red = (1.0f - planes.kr) * v;
    bgr[0] = to_byte(light + blue);
    bgr[1] = to_byte(light - (planes.kb * blue + planes.kr * red) / kg);
    bgr[2] = to_byte(light + red);
}

// ---- Enlargement by a whole factor, as OpenCV's INTER_CUBIC: Keys' kernel, a = -0.75, weights of 11 bits ----

PIXEL int cubic_weight(float distance) {
    const float a = -0.75f;
    float x = fabsf(distance);
    float near = ((a + 2.0f) * x - (a + 3.0f)) * x * x + 1.0f, far = ((a * x - 5.0f * a) * x + 8.0f * a) * x - 4.0f * a;
    return (int)rintf(2048.0f * (x < 1.0f ? near : far));
}

PIXEL void enlarged(const Picture &frame, int scale, int x, int y, byte *bgr) {
    float at_x = ((float)x + 0.5f) / (float)scale - 0.5f, at_y = ((float)y + 0.5f) / (float)scale - 0.5f;
    int left = (int)floorf(at_x), top = (int)floorf(at_y);
    int across[4], down[4];
    for (int i = 0; i < 4; ++i) {
        across[i] = cubic_weight(at_x - (float)(left - 1 + i));
        down[i] = cubic_weight(at_y - (float)(top - 1 + i));
    }
    int sums[3] = {1 << 21, 1 << 21, 1 << 21};
    for (int j = 0; j < 4; ++j) {
        int row[3] = {0, 0, 0};
        for (int i = 0; i < 4; ++i) {
            const byte *p = pixel_at(frame, left - 1 + i, top - 1 + j);
            for (int c = 0; c < 3; ++c) row[c] += across[i] * p[c];
        }
        for (int c = 0; c < 3; ++c) sums[c] += down[j] * row[c];
    }
    for (int c = 0; c < 3; ++c) bgr[c] = (byte)clamped(sums[c] >> 22, 0, 255);
}

// ---- Consistency projection, sr + up(lr - down(sr)): Keys' kernel, a = -0.5, widened by the scale to shrink ----
// Weights beyond the edge are left out and the others sum to one.

PIXEL float keys(float x) {
    x = fabsf(x);
    if (x < 1.0f) return (1.5f * x - 2.5f) * x * x + 1.0f;
    return x < 2.0f ? ((-0.5f * x + 2.5f) * x - 4.0f) * x + 2.0f : 0.0f;
}

PIXEL void residual(const byte *lr, const byte *sr, int side, int scale, int x, int y, float *out) {
    int large = side * scale;
    float centre_x = ((float)x + 0.5f) * (float)scale, centre_y = ((float)y + 0.5f) * (float)scale;
    int x0 = clamped(x * scale - 3 * scale / 2 - 1, 0, large), x1 = clamped(x * scale + 5 * scale / 2 + 1, 0, large);
    int y0 = clamped(y * scale - 3 * scale / 2 - 1, 0, large), y1 = clamped(y * scale + 5 * scale / 2 + 1, 0, large);
    float sums[3] = {0, 0, 0}, weight_y = 0, weight_x = 0;
    for (int j = y0; j < y1; ++j) {
        float row[3] = {0, 0, 0}, w = keys(((float)j + 0.5f - centre_y) / (float)scale);
        weight_x = 0;
        for (int i = x0; i < x1; ++i) {
            float v = keys(((float)i + 0.5f - centre_x) / (float)scale);
            const byte *p = sr + 3 * (j * large + i);
            for (int c = 0; c < 3; ++c) row[c] += v * (float)p[c];
            weight_x += v;
        }
        for (int c = 0; c < 3; ++c) sums[c] += w * row[c];
        weight_y += w;
    }
    for (int c = 0; c < 3; ++c) out[c] = (float)lr[3 * (y * side + x) + c] - sums[c] / (weight_x * weight_y);
}

PIXEL void projected(const float *residuals, int side, int scale, int x, int y, byte *bgr) {
    float at_x = ((float)x + 0.5f) / (float)scale - 0.5f, at_y = ((float)y + 0.5f) / (float)scale - 0.5f;
    int left = (int)floorf(at_x) - 1, top = (int)floorf(at_y) - 1;
    float sums[3] = {0, 0, 0}, weight_y = 0, weight_x = 0;
    for (int j = top < 0 ? 0 : top; j < top + 4 && j < side; ++j) {
        float row[3] = {0, 0, 0}, w = keys(at_y - (float)j);
        weight_x = 0;
        for (int i = left < 0 ? 0 : left; i < left + 4 && i < side; ++i) {
            float v = keys(at_x - (float)i);
            for (int c = 0; c < 3; ++c) row[c] += v * residuals[3 * (j * side + i) + c];
            weight_x += v;
        }
        for (int c = 0; c < 3; ++c) sums[c] += w * row[c];
        weight_y += w;
    }
    for (int c = 0; c < 3; ++c) bgr[c] = to_byte((float)bgr[c] + sums[c] / (weight_x * weight_y));
}

// ---- Paste: feathered faces, normalised where several overlap ----

PIXEL float feather(int u, int v, int side, float part) {  // 0 at the rim, 1 inside, a smooth step between
    int last = side - 1;
    int inset = u < v ? u : v;
    inset = last - u < inset ? last - u : inset;
    inset = last - v < inset ? last - v : inset;
    float t = fminf(((float)inset + 0.5f) / (part * (float)side), 1.0f);
    return t * t * (3.0f - 2.0f * t);
}

// Colour of a face where the composite is `outscale` times the frame: the mean over the area of the composite's pixel,
// which is `scale` long where the face's own pixels are `outscale` long.
PIXEL void shrunken(const Face &face, int scale, int outscale, int u, int v, float *bgr) {
    int large = face.side * scale, u0 = u * scale, u1 = u0 + scale, v0 = v * scale, v1 = v0 + scale;
    float sums[3] = {0, 0, 0};
    for (int j = v0 / outscale; j * outscale < v1; ++j) {
        int high = (j + 1) * outscale < v1 ? (j + 1) * outscale : v1, low = j * outscale > v0 ? j * outscale : v0;
        for (int i = u0 / outscale; i * outscale < u1; ++i) {
            int right = (i + 1) * outscale < u1 ? (i + 1) * outscale : u1, left = i * outscale > u0 ? i * outscale : u0;
            float area = (float)((high - low) * (right - left));
            const byte *p = face.pixels + 3 * (j * large + i);
            for (int c = 0; c < 3; ++c) sums[c] += area * (float)p[c];
        }
    }
    for (int c = 0; c < 3; ++c) {
        float mean = sums[c] / (float)(scale * scale);
        bgr[c] = scale == 2 * outscale ? floorf(mean + 0.5f) : rintf(mean);  // OpenCV rounds the mean of four upwards
    }
}

PIXEL bool covers(const Face &face, int outscale, int x, int y) {
    int u = x - outscale * face.x, v = y - outscale * face.y, side = outscale * face.side;
    return u >= 0 && v >= 0 && u < side && v < side;
}

// Blend all faces that cover a pixel of the composite; `first` is the first of them, who does it for the others.
PIXEL void pasted(const Face *faces, int count, int first, int scale, int outscale, float part, int x, int y,
                  byte *bgr) {
    float weight = 0, total[3] = {0, 0, 0}, colour[3];
    for (int n = first; n < count; ++n) {
        const Face &face = faces[n];
        if (!covers(face, outscale, x, y)) continue;
        int u = x - outscale * face.x, v = y - outscale * face.y;
        float mine = feather(u, v, outscale * face.side, part);
        shrunken(face, scale, outscale, u, v, colour);
        for (int c = 0; c < 3; ++c) total[c] += mine * colour[c];
        weight += mine;
    }
    float rest = fmaxf(1.0f - weight, 0.0f), all = fmaxf(weight, 1.0f);
    for (int c = 0; c < 3; ++c) bgr[c] = to_byte((total[c] + rest * (float)bgr[c]) / all);
}

#endif
