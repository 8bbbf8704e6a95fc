//! How messages look in JSON: private mirrors of the public types, with Gravitee's names.
