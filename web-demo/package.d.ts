// The npm package where `cargo xtask demo` puts it: beside the page.

declare module "*/encoderfile/index.js" {
  export * from "encoderfile";
}
