"""The way of a picture from bytes to text and fields, a folder a stage.

`header` (with `pdf`) says what the picture claims to be, `decode` gives pixels, `quality` judges them, `barcodes` and
`detect` find symbols and lines, `recognize` reads the lines, `layout` puts them in order, `extract` makes fields of
them. `pipeline` composes a page of these; `large` does so for pages that come in bands.
"""
