"""A select written in Python is the one Django's templates write."""

import re

from django import forms
from django.forms.renderers import DjangoTemplates


class Choose(forms.Form):
    plain = forms.ChoiceField(choices=[("", "<Any>"), ("a", "A & b"), (3, "Three")])
    grouped = forms.ChoiceField(choices=[("Sport & play", [("x", "X"), ("y", "Y")]), ("z", "Z")], initial="y")
    several = forms.MultipleChoiceField(choices=[("1", "One"), ("2", "Two")], initial=["2"])
    marked = forms.ChoiceField(
        choices=[("a", "A")],
        disabled=True,
        required=False,
        widget=forms.Select({"data-quote": '"', "hidden": False}),
    )


def html(renderer=None, data=None):
    form = Choose(data, renderer=renderer)
    return re.sub(r"\s*\n\s*", "", "".join(str(field) for field in form))


def test_a_select_is_the_one_djangos_templates_write():
    assert html() == html(DjangoTemplates())
    sent = {"plain": "3", "grouped": "z", "several": ["1", "2"]}
    assert html(data=sent) == html(DjangoTemplates(), sent)
    assert "<select" in html()
