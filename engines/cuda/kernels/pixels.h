// Per-pixel functions in plain C++17: the same code is compiled by nvcc, NVRTC and a host compiler.
// Images are rows of 8-bit pixels of three bytes (blue, green, red), `pitch` bytes from row to row.
// Compile without fused multiply-add (--fmad=false, -ffp-contract=off) for equal rounding everywhere.
#ifndef FACESR_PIXELS_H
#define FACESR_PIXELS_H

#ifdef __CUDACC__
#define PIXEL __device__ __forceinline__
#else
#include <cmath>
#define PIXEL static inline
#endif

typedef unsigned char byte;

struct Image {
    const byte *rows;
    int pitch, width, height;
};

struct Face {            // FACE_DTYPE of frame_ops.py
    const byte *pixels;  // (scale·side, scale·side, 3), contiguous
    int x, y, side;      // window in the frame
    int padding;
};

PIXEL int clamp_int(int value, int min, int max) { return value < min ? min : value > max ? max : value; }

PIXEL byte to_byte(float value) { return (byte)rintf(fminf(fmaxf(value, 0.0f), 255.0f)); }

PIXEL const byte *pixel_at(const Image &image, int x, int y) {  // replicates the edge
    x = clamp_int(x, 0, image.width - 1);
    y = clamp_int(y, 0, image.height - 1);
    return image.rows + (long long)y * image.pitch + 3 * x;
}

// ---- NV12: a luma plane and a plane of interleaved chroma at half the resolution, limited range ----

struct Planes {
    const byte *luma, *chroma;
    int luma_pitch, chroma_pitch, width, height;
    float kr, kb;  // luma coefficients of red and blue: 0.299 and 0.114 in BT.601, 0.2126 and 0.0722 in BT.709
};

// Bilinear chroma at a luma pixel. MPEG-2 siting: at the even luma columns, halfway between two luma rows.
PIXEL float chroma_at(const Planes &planes, int x, int y, int channel) {
    int last_x = (planes.width - 1) / 2, last_y = (planes.height - 1) / 2;
    int left = x / 2, right = clamp_int(left + x % 2, 0, last_x);
    int nearest = y / 2, next = clamp_int(y % 2 ? nearest + 1 : nearest - 1, 0, last_y);
    const byte *a = planes.chroma + (long long)nearest * planes.chroma_pitch + channel;
    const byte *b = planes.chroma + (long long)next * planes.chroma_pitch + channel;
    return 0.125f * (float)(3 * (a[2 * left] + a[2 * right]) + b[2 * left] + b[2 * right]) - 128.0f;
}

PIXEL void bgr_from_nv12(const Planes &planes, int x, int y, byte *bgr) {
    x = clamp_int(x, 0, planes.width - 1);
    y = clamp_int(y, 0, planes.height - 1);
    float luma = (float)(planes.luma[(long long)y * planes.luma_pitch + x] - 16) * (255.0f / 219.0f);
    float u = chroma_at(planes, x, y, 0) * (255.0f / 112.0f), v = chroma_at(planes, x, y, 1) * (255.0f / 112.0f);
    float kg = 1.0f - planes.kr - planes.kb;
    float blue = (1.0f - planes.kb) * u, red = (1.0f - planes.kr) * v;
    bgr[0] = to_byte(luma + blue);
    bgr[1] = to_byte(luma - (planes.kb * blue + planes.kr * red) / kg);
    bgr[2] = to_byte(luma + red);
}

// ---- Enlargement by an integer factor, as OpenCV's INTER_CUBIC: Keys' kernel, a = -0.75, 11-bit weights ----

PIXEL int cubic_weight(float distance) {
    const float a = -0.75f;
    float x = fabsf(distance);
    float inner = ((a + 2.0f) * x - (a + 3.0f)) * x * x + 1.0f;               // |x| < 1
    float outer = ((a * x - 5.0f * a) * x + 8.0f * a) * x - 4.0f * a;         // 1 <= |x| < 2
    return (int)rintf(2048.0f * (x < 1.0f ? inner : outer));
}

PIXEL void resize_bicubic(const Image &frame, int scale, int x, int y, byte *bgr) {
    float source_x = ((float)x + 0.5f) / (float)scale - 0.5f, source_y = ((float)y + 0.5f) / (float)scale - 0.5f;
    int left = (int)floorf(source_x), top = (int)floorf(source_y);
    int weights_x[4], weights_y[4];
    for (int i = 0; i < 4; ++i) {
        weights_x[i] = cubic_weight(source_x - (float)(left - 1 + i));
        weights_y[i] = cubic_weight(source_y - (float)(top - 1 + i));
    }
    int sums[3] = {1 << 21, 1 << 21, 1 << 21};
    for (int j = 0; j < 4; ++j) {
        int row[3] = {0, 0, 0};
        for (int i = 0; i < 4; ++i) {
            const byte *p = pixel_at(frame, left - 1 + i, top - 1 + j);
            for (int c = 0; c < 3; ++c) row[c] += weights_x[i] * p[c];
        }
        for (int c = 0; c < 3; ++c) sums[c] += weights_y[j] * row[c];
    }
    for (int c = 0; c < 3; ++c) bgr[c] = (byte)clamp_int(sums[c] >> 22, 0, 255);
}

// ---- Paste: feathered faces, weights normalized where several overlap ----

PIXEL float feather_weight(int u, int v, int side, float fraction) {  // 0 at the edge, 1 inside, smoothstep between
    int last = side - 1;
    int inset = u < v ? u : v;
    inset = last - u < inset ? last - u : inset;
    inset = last - v < inset ? last - v : inset;
    float t = fminf(((float)inset + 0.5f) / (fraction * (float)side), 1.0f);
    return t * t * (3.0f - 2.0f * t);
}

// Pixel of a face at the composite's resolution, `outscale` times the frame: the mean over the composite pixel's area,
// whose side is `scale` in units of 1 / outscale of a face pixel.
PIXEL void downscale_area(const Face &face, int scale, int outscale, int u, int v, float *bgr) {
    int large = face.side * scale, u0 = u * scale, u1 = u0 + scale, v0 = v * scale, v1 = v0 + scale;
    float sums[3] = {0, 0, 0};
    for (int j = v0 / outscale; j * outscale < v1; ++j) {
        int bottom = (j + 1) * outscale < v1 ? (j + 1) * outscale : v1, top = j * outscale > v0 ? j * outscale : v0;
        for (int i = u0 / outscale; i * outscale < u1; ++i) {
            int right = (i + 1) * outscale < u1 ? (i + 1) * outscale : u1, left = i * outscale > u0 ? i * outscale : u0;
            float area = (float)((bottom - top) * (right - left));
            const byte *p = face.pixels + 3 * (j * large + i);
            for (int c = 0; c < 3; ++c) sums[c] += area * (float)p[c];
        }
    }
    for (int c = 0; c < 3; ++c) {
        float mean = sums[c] / (float)(scale * scale);
        bgr[c] = scale == 2 * outscale ? floorf(mean + 0.5f) : rintf(mean);  // OpenCV rounds the mean of 2x2 half up
    }
}

PIXEL bool covers(const Face &face, int outscale, int x, int y) {
    int u = x - outscale * face.x, v = y - outscale * face.y, side = outscale * face.side;
    return u >= 0 && v >= 0 && u < side && v < side;
}

// Blend all faces that cover a pixel of the composite; `first` is the index of the first of them.
PIXEL void blend_faces(const Face *faces, int count, int first, int scale, int outscale, float fraction, int x, int y,
                       byte *bgr) {
    float weight = 0, total[3] = {0, 0, 0}, color[3];
    for (int n = first; n < count; ++n) {
        const Face &face = faces[n];
        if (!covers(face, outscale, x, y)) continue;
        int u = x - outscale * face.x, v = y - outscale * face.y;
        float face_weight = feather_weight(u, v, outscale * face.side, fraction);
        downscale_area(face, scale, outscale, u, v, color);
        for (int c = 0; c < 3; ++c) total[c] += face_weight * color[c];
        weight += face_weight;
    }
    float background = fmaxf(1.0f - weight, 0.0f), sum = fmaxf(weight, 1.0f);
    for (int c = 0; c < 3; ++c) bgr[c] = to_byte((total[c] + background * (float)bgr[c]) / sum);
}

#endif
