"""Trying an algorithm before it is sent: the operator's own engine code on a person's machine,
under the rules of a provider's environment."""
