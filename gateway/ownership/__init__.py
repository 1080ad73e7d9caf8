"""Which team owns which object at the provider. As long as nobody keeps track, no request may name one."""
