"""The back ends: interchangeable modules under one contract.

A convolution is the trilinear form

    sum over n g k c t p of  y[n, g, k, p] * w[g, k, c, t] * canvas[n, g, c, tap[t] + origin[p]]

and each operator of training fills one of its three arrays from the other two. So a back end is a
module with three functions of one signature, ``(x, w, y, geometry)``, where x is the input that
the canvas holds:

| function      | fills                     |
| ------------- | ------------------------- |
| `forward`     | ``y  (N, G, K/G, P)``     |
| `weight_grad` | ``w  (G, K/G, C/G, T)``   |
| `input_grad`  | ``x  (N, G, C/G, I)``     |

N batch, G groups, C channels in, K channels out, T taps, P output positions, I input positions. All
arrays are of one dtype, the one that sums are taken in, and aligned. w is C-contiguous; x and y are
that, or views of arrays ``(N, I, G, C/G)`` and ``(N, P, G, K/G)`` that are, as channels_last has
them. What the filled array held before does not matter. What overflows is infinite, and no warning
is given of it.

A module may have ``prepared`` too, which is told beforehand what operands will be like, and gives a
function of these for all calls with such operands; or None, where it prepares nothing. It may have
``add_bias(y, bias)``, which adds a number for each of the G * K/G channels to
y, in place; else NumPy does.

One of them, `exact`, has these functions a second time, as methods of its `Rounding`: that takes
the bias and the format of the result too, which elsewhere come after the sums, to round just once.
"""
