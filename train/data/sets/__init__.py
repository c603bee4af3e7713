"""The data sets. Each is a module of its name here, with `load(options)`, giving an `ImageSet`.

Where it can be told without importing TensorFlow that there is nothing to load, the module has
`check(options)` too, which refuses it. Modules with an underscore are what several share.
"""
