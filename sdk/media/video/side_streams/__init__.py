"""Streams of a video beside its pictures: sounds, subtitles, attachments, chapters and tags."""
