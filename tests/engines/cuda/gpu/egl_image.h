// EGL image of the emulated video hardware: libnvbufsurface.c makes it, libcuda.cpp registers it.
struct EglImage { void *pixels; unsigned width, height, pitch, planes, channels; int frame_type; };
