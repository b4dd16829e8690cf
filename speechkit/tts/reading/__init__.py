"""How written text is read aloud: one file for each kind of thing that is written in short.

`english.read` runs the kinds one after the other over a text, `others.read` serves all other
languages. Each kind is a function from text to text that writes out what it knows as words and
leaves the rest to those after it, so their order is part of what they mean.
"""
