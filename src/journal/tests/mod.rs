mod census;
mod faults;
mod files;
mod flaky;
mod life;
mod pages;
