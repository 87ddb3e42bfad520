import { render } from 'preact'
import { loadMe } from './account/me'
import { App } from './app'
import { watchEvents } from './events'
import { keepLimits } from './thresholds'
import { connect } from './stream'
import './style.css'
import { keepWatch } from './watch'

connect()
watchEvents()
keepWatch()
keepLimits()
void loadMe()
render(<App />, document.getElementById('app')!)
