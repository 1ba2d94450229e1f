"""The rules that give a part of a finding its verdict, by what they compare."""
