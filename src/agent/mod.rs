//! What a command of the plane means: deadlines, batches, undoing. A function from command to reply, plus the handle
//! to send INGEST; testable without a socket.
