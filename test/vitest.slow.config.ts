import { defineConfig } from 'vitest/config';
import common, { slow } from './vitest.config.js';

export default defineConfig({
  test: { ...common.test, isolate: true, include: [slow], exclude: ['test/fixtures/**'] },
});
