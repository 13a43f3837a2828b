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

// Arguments of kernels by value: no upload.
struct Faces {  // FACES_DTYPE
    Face faces[96];
};

struct Corners {  // CORNERS_DTYPE
    int xy[128][2];
};

struct Cell {                   // CELL_DTYPE
    int x, y, width, height;    // window of the frame
    int left, top;              // its place in the network input
    int out_width, out_height;  // its size there
    int halvings;               // times that it is halved before it is resized
};

struct Cells {  // CELLS_DTYPE
    int count;
    Cell cells[32];
};

struct Candidate {  // CANDIDATE_DTYPE
    int cell;       // row of the maps
    float values[15];
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

// ---- Detector inputs: windows of the frame, resized as by OpenCV (INTER_AREA, INTER_LINEAR to enlarge) ----

// Pixel of the image that results from halving a window `n` times, 0 to 3: each is the mean of four, rounded half up.
PIXEL int halved(const Image &frame, int n, int x0, int y0, int x, int y, int c) {
    if (n == 0) return pixel_at(frame, x0 + x, y0 + y)[c];
    int sums[4] = {0, 0, 0, 0};  // of each halving; source pixels in Morton order, so that fours are complete in turn
    for (int i = 0; i < 1 << 2 * n; ++i) {
        int u = (i & 1) | (i >> 1 & 2) | (i >> 2 & 4), v = (i >> 1 & 1) | (i >> 2 & 2) | (i >> 3 & 4);
        int value = pixel_at(frame, x0 + (x << n) + u, y0 + (y << n) + v)[c];
        for (int level = 0; level < n; ++level) {
            sums[level] += value;
            if ((i + 1) & ((1 << 2 * (level + 1)) - 1)) break;
            value = (sums[level] + 2) >> 2;
            sums[level] = 0;
            if (level == n - 1) return value;
        }
    }
    return 0;
}

PIXEL void mean_of_block(const Image &frame, const Cell &cell, int columns, int rows, int u, int v, byte *bgr) {
    for (int c = 0; c < 3; ++c) {
        int sum = 0;
        for (int j = 0; j < rows; ++j)
            for (int i = 0; i < columns; ++i)
                sum += halved(frame, cell.halvings, cell.x, cell.y, u * columns + i, v * rows + j, c);
        bool four = columns == 2 && rows == 2;
        bgr[c] = four ? (byte)((sum + 2) >> 2) : to_byte((float)sum * (1.0f / (float)(columns * rows)));
    }
}

// Samples of one axis under an output pixel: position `first` to `first + count - 1`, with a weight each that is `edge`
// of the pixel's length at the first and last one if these are cut. `length` samples become `out_length`.
struct Span {
    int first, count;
    float weight_first, weight, weight_last;
};

PIXEL Span span_of(int length, int out_length, int position) {
    int start = position * length, end = start + length;                         // in units of 1 / out_length
    int inner = (start + out_length - 1) / out_length, last = end / out_length;  // whole samples: inner to last - 1
    if (last > length - 1) last = length - 1;
    if (inner > last) inner = last;
    int before = inner * out_length - start, after = end - last * out_length;
    float whole = (float)out_length / (float)length;
    Span span = {inner, last - inner, whole, whole, whole};
    if (1000 * before > out_length) {  // OpenCV leaves out less than a thousandth of a sample
        --span.first, ++span.count;
        span.weight_first = (float)before / (float)length;
    }
    if (1000 * after > out_length) {
        ++span.count;
        span.weight_last = (float)(after < out_length ? after : out_length) / (float)length;
    }
    return span;
}

PIXEL float span_weight(const Span &span, int n) {
    return n == span.count - 1 && n > 0 ? span.weight_last : n == 0 ? span.weight_first : span.weight;
}

PIXEL void mean_of_area(const Image &frame, const Cell &cell, int u, int v, byte *bgr) {
    Span columns = span_of(cell.width, cell.out_width, u), rows = span_of(cell.height, cell.out_height, v);
    float sums[3] = {0, 0, 0};
    for (int j = 0; j < rows.count; ++j) {
        float row[3] = {0, 0, 0}, row_weight = span_weight(rows, j);
        for (int i = 0; i < columns.count; ++i) {
            const byte *p = pixel_at(frame, cell.x + columns.first + i, cell.y + rows.first + j);
            float weight = span_weight(columns, i);
            for (int c = 0; c < 3; ++c) row[c] += (float)p[c] * weight;
        }
        for (int c = 0; c < 3; ++c) sums[c] += row_weight * row[c];
    }
    for (int c = 0; c < 3; ++c) bgr[c] = to_byte(sums[c]);
}

// The two samples of one axis next to an output pixel, and 11-bit weights.
struct Pair {
    int first, second, weight_first, weight_second;
};

PIXEL Pair pair_of(int length, int out_length, int position, bool clamp_weight) {
    float at = (float)((2 * position + 1) * length - out_length) / (float)(2 * out_length);
    int first = (int)floorf(at);
    float fraction = at - (float)first;
    if (clamp_weight && (first < 0 || first >= length - 1)) fraction = 0.0f;
    int a = clamp_int(first, 0, length - 1), b = clamp_int(first + 1, 0, length - 1);
    return Pair{a, b, (int)rintf(2048.0f * (1.0f - fraction)), (int)rintf(2048.0f * fraction)};
}

PIXEL void resize_bilinear(const Image &frame, const Cell &cell, int u, int v, byte *bgr) {
    Pair x = pair_of(cell.width, cell.out_width, u, true), y = pair_of(cell.height, cell.out_height, v, false);
    const byte *a = pixel_at(frame, cell.x + x.first, cell.y + y.first);
    const byte *b = pixel_at(frame, cell.x + x.second, cell.y + y.first);
    const byte *c = pixel_at(frame, cell.x + x.first, cell.y + y.second);
    const byte *d = pixel_at(frame, cell.x + x.second, cell.y + y.second);
    for (int n = 0; n < 3; ++n) {
        int top = a[n] * x.weight_first + b[n] * x.weight_second;
        int bottom = c[n] * x.weight_first + d[n] * x.weight_second;
        bgr[n] = (byte)((((y.weight_first * (top >> 4)) >> 16) + ((y.weight_second * (bottom >> 4)) >> 16) + 2) >> 2);
    }
}

PIXEL void resize_cell(const Image &frame, const Cell &cell, int u, int v, byte *bgr) {
    if (cell.out_width > cell.width || cell.out_height > cell.height) return resize_bilinear(frame, cell, u, v, bgr);
    if (cell.width % cell.out_width || cell.height % cell.out_height) return mean_of_area(frame, cell, u, v, bgr);
    int columns = (cell.width >> cell.halvings) / cell.out_width, rows = (cell.height >> cell.halvings) / cell.out_height;
    mean_of_block(frame, cell, columns, rows, u, v, bgr);
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
