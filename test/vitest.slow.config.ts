import { defineConfig } from 'vitest/config';
import common, { slow } from './vitest.config.js';

export default defineConfig({ test: { ...common.test, include: [slow], exclude: ['test/fixtures/**'] } });
