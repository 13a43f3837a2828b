"""Videos in parts: where decoding may begin, parts that are encoded apart, and the video that is joined of them."""
