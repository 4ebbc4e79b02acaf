// Projects as people make them: a folder of its own, with the package installed.

import { execFile } from "node:child_process";
import { copyFile, cp, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const FIXTURES = join(HERE, "fixtures");
const PACKAGES = join(HERE, "..", "node_modules");

/** Longer than anything takes on a machine that also does something else. */
export const TIMEOUT_MS = 180_000;

/** The model, as projects call it. */
export const MODEL = "model.encoderfile";

const run = promisify(execFile);

/** A fresh project with the files of a fixture; the caller removes it. */
export async function createProject(fixture, { tarball, model }) {
  const folder = await mkdtemp(join(tmpdir(), "encoderfile-packaging-"));
  const project = new Project(folder);
  try {
    for (const part of ["shared", fixture]) await cp(join(FIXTURES, part), folder, { recursive: true });
    await copyFile(model, project.path(MODEL));
    await project.write("package.json", JSON.stringify({ private: true, type: "module" }));
    await project.install(tarball);
    return project;
  } catch (error) {
    await project.remove();
    throw error;
  }
}

class Project {
  constructor(folder) {
    this.folder = folder;
    this.package = join(folder, "node_modules", "encoderfile");
  }

  path(...parts) {
    return join(this.folder, ...parts);
  }

  write(name, text) {
    return writeFile(this.path(name), text);
  }

  /** Copies a file of the project to another place in it. */
  copy(from, to) {
    return cp(this.path(from), this.path(to));
  }

  /** The package has no dependencies, so that nothing is asked for elsewhere. */
  async install(tarball) {
    const options = ["--offline", "--no-audit", "--no-fund", "--ignore-scripts", "--cache", this.path(".npm")];
    // On Windows npm is a script, which only a shell runs.
    const shell = process.platform === "win32";
    await run("npm", ["install", ...options, tarball], { cwd: this.folder, shell, timeout: TIMEOUT_MS });
  }

  /** Makes a package of the tests one of the project. */
  link(name) {
    return symlink(join(PACKAGES, name), this.path("node_modules", name), "junction");
  }

  /** What a program prints that is run in the project. */
  async run(program, args) {
    return (await run(program, args, { cwd: this.folder, timeout: TIMEOUT_MS })).stdout;
  }

  /** What a script in the project prints. */
  node(...args) {
    return this.run(process.execPath, args);
  }

  /** Checks the types of the project as its `tsconfig.json` says; fails with what is wrong. */
  async tsc(config) {
    await this.write("tsconfig.json", JSON.stringify(config));
    try {
      await this.node(join(PACKAGES, "typescript", "bin", "tsc"), "--project", this.folder);
    } catch (error) {
      throw new Error(`${JSON.stringify(config.compilerOptions)}: ${error.stdout}${error.stderr}`);
    }
  }

  remove() {
    return rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
