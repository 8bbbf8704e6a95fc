//! A controller of our own: the other end of the link, for the demo and the tests.
