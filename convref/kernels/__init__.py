"""The back ends: interchangeable modules under one contract.

A convolution is the trilinear form

    sum over n g k c t p of  y[n, g, k, p] * w[g, k, c, t] * canvas[n, g, c, tap[t] + origin[p]]

and each operator of training fills one of its three arrays from the other two. So a back end is a
module with three functions of one signature, ``(canvas, w, y, geometry)``:

| function      | fills                                          |
| ------------- | ---------------------------------------------- |
| `forward`     | ``y       (N, G, K/G, P)``                     |
| `weight_grad` | ``w       (G, K/G, C/G, T)``                   |
| `input_grad`  | ``canvas  (N, G, C/G, S)``                     |

All arrays are C-contiguous and of one dtype, the one that sums are taken in; N batch, G groups, C
channels in, K channels out, T taps, P output positions, S cells of the canvas. What the filled
array held before does not matter.
"""
