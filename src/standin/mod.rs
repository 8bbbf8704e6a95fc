//! An AWS API Gateway stand-in of our own, for the demo and for what real peers will not do (throttle, fail, lie).
