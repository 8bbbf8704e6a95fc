mod faults;
mod files;
mod pages;
